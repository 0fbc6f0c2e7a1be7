// Whole programs that are no row of the core.
package main

import (
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The CRC-32 of every file under BENCH_TREE, by four goroutines behind one that walks.
func rowDigest(r run) {
	tree := os.Getenv("BENCH_TREE")
	r.timed(func() float64 {
		start := time.Now()
		files := digest(tree)
		elapsed := time.Since(start)
		if want := r.sized(0); files != want {
			fmt.Fprintf(os.Stderr, "gobench: found %d files under %q instead of %d\n", files, tree, want)
			os.Exit(1)
		}
		return float64(elapsed.Nanoseconds())
	})
}

func digest(tree string) (files int) {
	paths, sums := make(chan string, 64), make(chan uint32, 64)
	go func() {
		defer close(paths)
		filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				paths <- path
			}
			return err
		})
	}()
	var workers sync.WaitGroup
	for i := 0; i < 4; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			buffer := make([]byte, 64<<10)
			for path := range paths {
				sums <- fileSum(path, buffer)
			}
		}()
	}
	go func() {
		workers.Wait()
		close(sums)
	}()
	for range sums {
		files++
	}
	return files
}

func fileSum(path string, buffer []byte) uint32 {
	file, err := os.Open(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gobench:", err)
		os.Exit(1)
	}
	defer file.Close()
	sum := crc32.NewIEEE()
	io.CopyBuffer(sum, struct{ io.Reader }{file}, buffer)
	return sum.Sum32()
}
