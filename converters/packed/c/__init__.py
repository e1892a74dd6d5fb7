"""C sources that are shipped as package data: `edgekit_unpack.h` unpacks `.ekz` files."""
