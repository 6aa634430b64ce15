package main

import (
	"fmt"
	"strconv"
	"time"
)

// behaviour is what the environment asks of this container.
type behaviour struct {
	version      string
	port         string
	neverHealthy bool
	healthyAfter time.Duration
	exits        bool
	exitAfter    time.Duration
	exitCode     int
	dieAtOnce    bool
	drain        time.Duration
	data         string
	migrateFor   time.Duration
	tell         string
	records      string
	flaws        flaws
}

func behaviourFrom(getenv func(string) string) (behaviour, error) {
	b := behaviour{
		version:      getenv("VERSION"),
		port:         or(getenv("PORT"), "8080"),
		neverHealthy: getenv("HEALTH") == "never",
		exits:        getenv("EXIT_AFTER") != "",
		dieAtOnce:    getenv("STOP") == "exit",
		data:         getenv("DATA"),
		tell:         getenv("TELL"),
		records:      getenv("RECORDS"),
	}
	for name, n := range map[string]*int64{"ERRORS": &b.flaws.errors, "ERRORS_FROM": &b.flaws.errorsFrom, "OOM_AT": &b.flaws.oomAt} {
		var err error
		if *n, err = strconv.ParseInt(or(getenv(name), "0"), 10, 64); err != nil {
			return behaviour{}, fmt.Errorf("read %s: %w", name, err)
		}
	}
	for name, d := range map[string]*time.Duration{
		"HEALTHY_AFTER": &b.healthyAfter,
		"EXIT_AFTER":    &b.exitAfter,
		"DRAIN":         &b.drain,
		"MIGRATE_FOR":   &b.migrateFor,

		"DELAY":           &b.flaws.delay,
		"UNHEALTHY_AFTER": &b.flaws.unhealthyAfter,
	} {
		value := getenv(name)
		if value == "" {
			continue
		}
		var err error
		if *d, err = time.ParseDuration(value); err != nil {
			return behaviour{}, fmt.Errorf("read %s: %w", name, err)
		}
	}
	if getenv("DRAIN") == "" {
		b.drain = 300 * time.Millisecond
	}
	code, err := strconv.Atoi(or(getenv("EXIT_CODE"), "0"))
	if err != nil {
		return behaviour{}, fmt.Errorf("read EXIT_CODE: %w", err)
	}
	b.exitCode = code
	return b, nil
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
