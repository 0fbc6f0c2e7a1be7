# Capsules named "pygostop.task".
repeat: object
count: object
primes: object
walk: object
crc32: object
spin: object
hog: object
