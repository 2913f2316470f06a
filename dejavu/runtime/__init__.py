"""General services, independent of images: files, errors, seeds, devices, processes."""
