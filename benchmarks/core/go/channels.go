// Rows of channels and select.
package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// There on one unbuffered channel, back on another.
func rowRoundTrip(r run) {
	r.each(r.times(r.sized(500_000)), func(n int) {
		there, back := make(chan int64), make(chan int64)
		go func() {
			for v := range there {
				back <- v
			}
			close(back)
		}()
		for i := 0; i < n; i++ {
			there <- int64(i)
			<-back
		}
		close(there)
	})
}

const buffer = 128

func produce(ch chan<- int64, n int) {
	for i := 0; i < n; i++ {
		ch <- int64(i)
	}
}

// One producer, one consumer, a channel of 128.
func rowBuffered(r run) {
	r.each(r.times(4_000_000), func(n int) {
		ch := make(chan int64, buffer)
		go func() {
			produce(ch, n)
			close(ch)
		}()
		for range ch {
		}
	})
}

// Four producers, four consumers, one channel of 128.
func rowFourByFour(r run) {
	r.each(r.times(r.sized(4_000_000)/4)*4, func(n int) {
		ch := make(chan int64, buffer)
		var producers, consumers sync.WaitGroup
		for i := 0; i < 4; i++ {
			producers.Add(1)
			go func() {
				defer producers.Done()
				produce(ch, n/4)
			}()
			consumers.Add(1)
			go func() {
				defer consumers.Done()
				for range ch {
				}
			}()
		}
		producers.Wait()
		close(ch)
		consumers.Wait()
	})
}

// A select over n channels, each of which has something to receive. The clock stands still while
// they are filled.
const selectFill = 256

func selectRow(r run, cases int, pick func(ch []chan int64) int64) {
	rounds := r.times(2000)
	ch := make([]chan int64, cases)
	for i := range ch {
		ch[i] = make(chan int64, selectFill)
	}
	r.timed(func() float64 {
		var elapsed time.Duration
		for round := 0; round < rounds; round++ {
			for i := range ch {
				for len(ch[i]) < selectFill {
					ch[i] <- int64(i)
				}
			}
			start := time.Now()
			for i := 0; i < selectFill; i++ {
				pick(ch)
			}
			elapsed += time.Since(start)
		}
		return float64(elapsed.Nanoseconds()) / float64(rounds*selectFill)
	})
}

func rowSelect2(r run) {
	selectRow(r, 2, func(ch []chan int64) (v int64) {
		select {
		case v = <-ch[0]:
		case v = <-ch[1]:
		}
		return v
	})
}

func rowSelect4(r run) {
	selectRow(r, 4, func(ch []chan int64) (v int64) {
		select {
		case v = <-ch[0]:
		case v = <-ch[1]:
		case v = <-ch[2]:
		case v = <-ch[3]:
		}
		return v
	})
}

func rowSelect16(r run) {
	selectRow(r, 16, func(ch []chan int64) (v int64) {
		select {
		case v = <-ch[0]:
		case v = <-ch[1]:
		case v = <-ch[2]:
		case v = <-ch[3]:
		case v = <-ch[4]:
		case v = <-ch[5]:
		case v = <-ch[6]:
		case v = <-ch[7]:
		case v = <-ch[8]:
		case v = <-ch[9]:
		case v = <-ch[10]:
		case v = <-ch[11]:
		case v = <-ch[12]:
		case v = <-ch[13]:
		case v = <-ch[14]:
		case v = <-ch[15]:
		}
		return v
	})
}

func nthPrime(n int) int64 {
	candidate := int64(1)
	for n > 0 {
		candidate++
		prime := true
		for d := int64(2); prime && d*d <= candidate; d++ {
			prime = candidate%d != 0
		}
		if prime {
			n--
		}
	}
	return candidate
}

// The first 2,000 primes, each a goroutine that passes on what it does not divide.
func rowSieve(r run) {
	primes := r.sized(2000)
	start := time.Now()
	ch := make(chan int64)
	go func(out chan<- int64) {
		for n := int64(2); ; n++ {
			out <- n
		}
	}(ch)
	var last int64
	for i := 0; i < primes; i++ {
		last = <-ch
		out := make(chan int64)
		go sieve(ch, out, last)
		ch = out
	}
	say("value", float64(time.Since(start).Nanoseconds()))
	if want := nthPrime(primes); last != want {
		fmt.Fprintf(os.Stderr, "gobench: prime %d came out as %d instead of %d\n", primes, last, want)
		os.Exit(1)
	}
}

func sieve(in <-chan int64, out chan<- int64, prime int64) {
	for {
		if n := <-in; n%prime != 0 {
			out <- n
		}
	}
}
