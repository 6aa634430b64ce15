package main

import (
	"context"
	"os"

	"davit/notify"
	"davit/reconcile"
	"davit/state"
	"davit/web"
)

var (
	_ notify.Outbox = (*state.Store)(nil)
	_ web.History   = (*state.Store)(nil)
	_ web.EventLog  = (*state.Store)(nil)
	_ web.Agent     = (*reconcile.Loop)(nil)
	_ web.Sources   = pollers(nil)
)

// openStream starts the one stream of events and, behind it, what sends
// notifications. Both end after everything that may still emit an event, and
// before the record that they write to.
func (a *agent) openStream(ctx context.Context) error {
	notifier, err := a.newNotifier()
	if err != nil {
		return err
	}
	a.bell = web.NewBell()
	a.stream = newStream(a.logger, notifying{a.store, notifier}, a.bell)
	a.stream.watch, a.stream.scrub = a.watch, a.secrets.scrub
	// What happens while the agent ends is recorded as well.
	ctx = context.WithoutCancel(ctx)
	sending, stop := context.WithCancel(ctx)
	sent, recorded := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sent)
		a.report("send notifications", notifier.Run(sending))
	}()
	go func() {
		defer close(recorded)
		a.stream.run(ctx)
	}()
	a.onClose(func() {
		a.stream.close()
		<-recorded
		stop()
		<-sent
	})
	return nil
}

func (a *agent) newNotifier() (*notify.Notifier, error) {
	o := notify.Options{Outbox: a.store, Logger: a.logger}
	for _, w := range a.config.Webhooks {
		o.Endpoints = append(o.Endpoints, notify.Endpoint{Name: w.Name, URL: w.URL, SecretFile: w.SecretFile, Events: w.Events})
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	o.Sender = notify.Sender{Host: host, Instance: a.id.instance, Version: programVersion()}
	return notify.New(o)
}

// notifying writes events down together with what is to be sent about them.
type notifying struct {
	store    *state.Store
	notifier *notify.Notifier
}

// Record implements recorder.
func (n notifying) Record(ctx context.Context, e reconcile.Event) error {
	_, err := n.store.AppendNotified(ctx, e, n.notifier.Deliveries(e))
	n.notifier.Wake()
	return err
}
