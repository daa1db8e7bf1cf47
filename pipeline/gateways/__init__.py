"""Results to PLCs and plant systems: Modbus TCP, OPC UA, MQTT, S7; a subscriber like any other."""
