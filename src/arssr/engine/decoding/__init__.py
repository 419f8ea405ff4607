"""Values at places between the voxels, from features."""
