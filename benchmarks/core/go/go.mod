module pygostop/benchmarks/core

go 1.19
