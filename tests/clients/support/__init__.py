"""What the tests share: processes, the mesh, backends and raw connections."""
