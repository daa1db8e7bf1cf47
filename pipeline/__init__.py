"""The running line: cameras, frames, processes, judgement, messages and sockets."""
