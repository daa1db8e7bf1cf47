/* A V4L2 camera for programs that preload this: /dev/video7, after the kernel's own header and documentation.
 *
 * open, ioctl, poll and close of that path are answered here; the buffers lie in a memory file, so that mmap is the
 * kernel's. Pictures show their sequence number plus one as a grid of blocks (numbered.py). `stand_in_set`
 * unplugs it, holds it still, or spoils its pictures. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PATH "/dev/video7"
#define BUFFERS 8
#define BUFFER_BYTES (1 << 20)
#define DEVICES 8

static const struct { __u32 format, width, height; } SIZES[] = {
    {V4L2_PIX_FMT_GREY, 120, 104}, {V4L2_PIX_FMT_GREY, 640, 480}, {V4L2_PIX_FMT_YUYV, 120, 104},
    {V4L2_PIX_FMT_YUYV, 640, 480}, {V4L2_PIX_FMT_RGB24, 120, 104},
};
static const __u32 FORMATS[] = {V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_GREY, V4L2_PIX_FMT_RGB24};
static const __u32 RATES[] = {10, 25, 50};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct v4l2_queryctrl controls[] = {
    {.id = V4L2_CID_BRIGHTNESS, .name = "Brightness", .minimum = -64, .maximum = 64, .step = 1},
    {.id = V4L2_CID_AUTOGAIN, .name = "Gain, Automatic", .minimum = 0, .maximum = 1, .step = 1},
    {.id = V4L2_CID_GAIN, .name = "Gain", .minimum = 0, .maximum = 255, .step = 4},
    {.id = V4L2_CID_EXPOSURE_AUTO, .name = "Auto Exposure", .minimum = 0, .maximum = 3, .step = 1},
    {.id = V4L2_CID_EXPOSURE_ABSOLUTE, .name = "Exposure Time, Absolute", .minimum = 1, .maximum = 5000, .step = 1},
};
static int values[] = {0, 1, 64, 3, 157};

static int fds[DEVICES], opened, owner = -1;          /* who has asked for buffers */
static struct v4l2_pix_format format = {.width = 640, .height = 480, .pixelformat = V4L2_PIX_FMT_YUYV};
static __u32 rate = 25, granted;
static int queue[BUFFERS], queued, done[BUFFERS], finished, streaming;
static struct v4l2_buffer buffers[BUFFERS];
static long long next_ns;
static __u32 sequence;
static int unplugged, still, faulty, cut_short, plain_clock, no_bandwidth;

void stand_in_set(const char *name, int value) {
    if (!strcmp(name, "unplugged")) unplugged = value;
    if (!strcmp(name, "still")) still = value;
    if (!strcmp(name, "faulty")) faulty = value;
    if (!strcmp(name, "short")) cut_short = value;
    if (!strcmp(name, "plain_clock")) plain_clock = value;
    if (!strcmp(name, "no_bandwidth")) no_bandwidth = value;
    if (!strcmp(name, "sequence")) sequence = value;
}

int stand_in_control(__u32 id) {
    for (unsigned i = 0; i < COUNT(controls); i++)
        if (controls[i].id == id) return values[i];
    return -1;
}

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int is_ours(int fd) {
    for (int i = 0; i < opened; i++)
        if (fds[i] == fd) return 1;
    return 0;
}

static int refuse(int error) { errno = error; return -1; }

static void lay_out(void) {
    __u32 wide = format.pixelformat == V4L2_PIX_FMT_GREY ? 1 : format.pixelformat == V4L2_PIX_FMT_YUYV ? 2 : 3;
    /* like many drivers, rows are padded */
    format.bytesperline = (format.width * wide + 63) / 64 * 64;
    format.sizeimage = format.bytesperline * format.height;
    format.field = V4L2_FIELD_NONE;
}

static void paint(int fd, int index, __u32 number) {
    unsigned char row[8192];
    for (__u32 y = 0; y < format.height; y++) {
        memset(row, 0x11, sizeof row);
        for (__u32 x = 0; x < format.width; x++) {
            __u32 bit = y / (format.height / 4) * 4 + x / (format.width / 4);
            unsigned char level = number >> bit & 1 ? 208 : 48;
            if (format.pixelformat == V4L2_PIX_FMT_GREY) row[x] = level;
            else if (format.pixelformat == V4L2_PIX_FMT_YUYV) row[2 * x] = level, row[2 * x + 1] = 128;
            else row[3 * x] = level, row[3 * x + 1] = level, row[3 * x + 2] = 7;
        }
        if (pwrite(fd, row, format.bytesperline, (off_t)index * BUFFER_BYTES + y * format.bytesperline) < 0) return;
    }
}

/* The time that has passed since the last call, in pictures. */
static void advance(int fd) {
    while (streaming && !still && !unplugged && next_ns <= now_ns()) {
        if (queued) {
            int index = queue[0];
            memmove(queue, queue + 1, --queued * sizeof *queue);
            struct v4l2_buffer *b = &buffers[index];
            paint(fd, index, sequence + 1); /* picture 0 would be blank */
            b->sequence = sequence;
            b->bytesused = cut_short ? format.sizeimage / 2 : format.sizeimage;
            b->timestamp.tv_sec = next_ns / 1000000000;
            b->timestamp.tv_usec = next_ns % 1000000000 / 1000;
            b->flags = V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_DONE;
            b->flags |= plain_clock ? V4L2_BUF_FLAG_TIMESTAMP_UNKNOWN
                                    : V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_TSTAMP_SRC_SOE;
            if (faulty) b->flags |= V4L2_BUF_FLAG_ERROR;
            done[finished++] = index;
        }
        sequence++;
        next_ns += 1000000000LL / rate;
    }
}

static int control(struct v4l2_queryctrl *asked) {
    __u32 id = asked->id & ~(V4L2_CTRL_FLAG_NEXT_CTRL | V4L2_CTRL_FLAG_NEXT_COMPOUND);
    int next = (asked->id & V4L2_CTRL_FLAG_NEXT_CTRL) != 0;
    for (unsigned i = 0; i < COUNT(controls); i++)
        if (next ? controls[i].id > id : controls[i].id == id) { *asked = controls[i]; return 0; }
    return refuse(EINVAL);
}

static int set_control(struct v4l2_control *asked) {
    for (unsigned i = 0; i < COUNT(controls); i++) {
        if (controls[i].id != asked->id) continue;
        if (asked->value < controls[i].minimum || asked->value > controls[i].maximum) return refuse(ERANGE);
        if (asked->id == V4L2_CID_EXPOSURE_ABSOLUTE && values[3] != V4L2_EXPOSURE_MANUAL) return refuse(EACCES);
        if (asked->id == V4L2_CID_GAIN && values[1]) return refuse(EACCES);
        /* the nearest step below, which the caller is told */
        asked->value = values[i] = asked->value - (asked->value - controls[i].minimum) % controls[i].step;
        return 0;
    }
    return refuse(EINVAL);
}

static int set_format(struct v4l2_pix_format *asked) {
    unsigned best = COUNT(SIZES);
    for (unsigned i = 0; i < COUNT(SIZES); i++)
        if (SIZES[i].format == asked->pixelformat &&
            (best == COUNT(SIZES) || (SIZES[i].width == asked->width && SIZES[i].height == asked->height)))
            best = i;
    if (best == COUNT(SIZES)) best = 2;
    format.pixelformat = SIZES[best].format;
    format.width = SIZES[best].width;
    format.height = SIZES[best].height;
    lay_out();
    *asked = format;
    return 0;
}

static int answer(int fd, unsigned long request, void *data) {
    int streams = request == VIDIOC_QBUF || request == VIDIOC_DQBUF || request == VIDIOC_STREAMON ||
                  request == VIDIOC_STREAMOFF;
    if (unplugged) return refuse(ENODEV);
    if (streams && owner >= 0 && owner != fd) return refuse(EBUSY);
    advance(fd);
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *c = data;
        memset(c, 0, sizeof *c);
        strcpy((char *)c->driver, "stand-in");
        strcpy((char *)c->card, "Stand-in camera");
        strcpy((char *)c->bus_info, "usb-0000:00:14.0-2");
        c->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        c->capabilities = c->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *f = data;
        if (f->index >= COUNT(FORMATS)) return refuse(EINVAL);
        f->pixelformat = FORMATS[f->index];
        return 0;
    }
    case VIDIOC_ENUM_FRAMESIZES: {
        struct v4l2_frmsizeenum *s = data;
        __u32 left = s->index;
        for (unsigned i = 0; i < COUNT(SIZES); i++)
            if (SIZES[i].format == s->pixel_format && !left--) {
                s->type = V4L2_FRMSIZE_TYPE_DISCRETE;
                s->discrete.width = SIZES[i].width;
                s->discrete.height = SIZES[i].height;
                return 0;
            }
        return refuse(EINVAL);
    }
    case VIDIOC_S_FMT:
        if (owner >= 0) return refuse(EBUSY);
        return set_format(&((struct v4l2_format *)data)->fmt.pix);
    case VIDIOC_S_PARM: {
        struct v4l2_captureparm *p = &((struct v4l2_streamparm *)data)->parm.capture;
        double asked = p->timeperframe.numerator ? (double)p->timeperframe.denominator / p->timeperframe.numerator : 25;
        for (unsigned i = 0; i < COUNT(RATES); i++)
            if ((asked - RATES[i]) * (asked - RATES[i]) < (asked - rate) * (asked - rate)) rate = RATES[i];
        p->timeperframe.numerator = 1;
        p->timeperframe.denominator = rate;
        return 0;
    }
    case VIDIOC_QUERYCTRL: return control(data);
    case VIDIOC_S_CTRL: return set_control(data);
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *r = data;
        if (owner >= 0 && owner != fd) return refuse(EBUSY);
        granted = r->count = r->count > BUFFERS ? BUFFERS : r->count;
        owner = granted ? fd : -1;
        return ftruncate(fd, (off_t)BUFFERS * BUFFER_BYTES);
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *b = data;
        if (b->index >= granted) return refuse(EINVAL);
        b->length = BUFFER_BYTES;
        b->m.offset = b->index * BUFFER_BYTES;
        buffers[b->index] = *b;
        return 0;
    }
    case VIDIOC_QBUF: {
        struct v4l2_buffer *b = data;
        if (b->index >= granted || b->memory != V4L2_MEMORY_MMAP) return refuse(EINVAL);
        for (int i = 0; i < queued; i++) if (queue[i] == (int)b->index) return refuse(EINVAL);
        for (int i = 0; i < finished; i++) if (done[i] == (int)b->index) return refuse(EINVAL);
        queue[queued++] = b->index;
        return 0;
    }
    case VIDIOC_DQBUF:
        if (!streaming) return refuse(EINVAL);
        if (!finished) return refuse(EAGAIN);
        *(struct v4l2_buffer *)data = buffers[done[0]];
        memmove(done, done + 1, --finished * sizeof *done);
        return 0;
    case VIDIOC_STREAMON:
        if (no_bandwidth) return refuse(ENOSPC);
        streaming = 1;
        sequence = 0;
        next_ns = now_ns() + 1000000000LL / rate;
        return 0;
    case VIDIOC_STREAMOFF:
        streaming = queued = finished = 0;
        return 0;
    }
    return refuse(ENOTTY);
}

static int open_ours(void) {
    if (unplugged) return refuse(ENOENT);
    int fd = memfd_create("stand-in", MFD_CLOEXEC);
    if (fd >= 0) fds[opened++ % DEVICES] = fd;
    lay_out();
    return fd;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int mode_of(int flags, va_list rest) { return flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, int) : 0; }

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = mode_of(flags, rest);
    va_end(rest);
    return strcmp(path, PATH) ? REAL(open)(path, flags, mode) : open_ours();
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = mode_of(flags, rest);
    va_end(rest);
    return strcmp(path, PATH) ? REAL(open64)(path, flags, mode) : open_ours();
}

int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *data = va_arg(rest, void *);
    va_end(rest);
    /* Python passes the number as an int; a negative one is widened with its sign. */
    return is_ours(fd) ? answer(fd, request & 0xffffffff, data) : REAL(ioctl)(fd, request, data);
}

int poll(struct pollfd *files, nfds_t count, int timeout_ms) {
    if (count != 1 || !is_ours(files[0].fd)) return REAL(poll)(files, count, timeout_ms);
    long long until = now_ns() + timeout_ms * 1000000LL;
    while (1) {
        advance(files->fd);
        files->revents = unplugged ? POLLERR | POLLHUP : finished ? POLLIN : 0;
        if (files->revents) return 1;
        if (now_ns() >= until) return 0;
        usleep(500);
    }
}

int close(int fd) {
    for (int i = 0; i < opened && i < DEVICES; i++)
        if (fds[i] == fd) {
            fds[i] = -1;
            if (owner == fd) owner = -1, streaming = queued = finished = 0;
        }
    return REAL(close)(fd);
}
