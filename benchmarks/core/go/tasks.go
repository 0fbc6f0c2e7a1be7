// Rows of tasks: switching, starting, ending, memory.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Two goroutines give way to one another.
func rowSwitch(r run) {
	r.each(r.times(2_000_000), func(n int) {
		var wg sync.WaitGroup
		for task := 0; task < 2; task++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := 0; i < n/2; i++ {
					runtime.Gosched()
				}
			}()
		}
		wg.Wait()
	})
}

// A thousand at a time, then wait for all.
func rowSpawnBatch(r run) {
	const batch = 1000
	r.each(r.times(500)*batch, func(n int) {
		var wg sync.WaitGroup
		for done := 0; done < n; done += batch {
			wg.Add(batch)
			for i := 0; i < batch; i++ {
				go func() { wg.Done() }()
			}
			wg.Wait()
		}
	})
}

// One, wait for it, the next.
func rowSpawnJoin(r run) {
	r.each(r.times(500_000), func(n int) {
		var wg sync.WaitGroup
		for i := 0; i < n; i++ {
			wg.Add(1)
			go func() { wg.Done() }()
			wg.Wait()
		}
	})
}

// A tree of 1,111,111 goroutines, ten children to each, that adds up its leaves.
func rowSkynet(r run) {
	leaves, tasks := 1, 1
	for most := r.times(r.sized(1_000_000)); leaves*10 <= most; tasks += leaves {
		leaves *= 10
	}
	r.timed(func() float64 {
		sums := make(chan int64, 1)
		start := time.Now()
		go skynet(sums, 0, int64(leaves))
		sum := <-sums
		elapsed := time.Since(start)
		if want := int64(leaves) * int64(leaves-1) / 2; sum != want {
			fmt.Fprintf(os.Stderr, "gobench: skynet gave %d instead of %d\n", sum, want)
			os.Exit(1)
		}
		return float64(elapsed.Nanoseconds()) / float64(tasks)
	})
}

func skynet(out chan<- int64, first, size int64) {
	if size == 1 {
		out <- first
		return
	}
	sums := make(chan int64, 10)
	for i := int64(0); i < 10; i++ {
		go skynet(sums, first+i*(size/10), size/10)
	}
	var sum int64
	for i := 0; i < 10; i++ {
		sum += <-sums
	}
	out <- sum
}

// Resident memory of one parked goroutine out of a million.
func rowParkedMemory(r run) {
	n := r.times(1_000_000)
	before := resident()
	stop := make(chan int64)
	var parked sync.WaitGroup
	for i := 0; i < n; i++ {
		parked.Add(1)
		go func() {
			parked.Done()
			<-stop
		}()
	}
	parked.Wait()
	say("value", float64(resident()-before)/float64(n))
}

func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		fmt.Fprintln(os.Stderr, "gobench: resident memory is not known here:", err)
		os.Exit(1)
	}
	var size, pages int64
	fmt.Sscan(strings.TrimSpace(string(text)), &size, &pages)
	return pages * int64(os.Getpagesize())
}
