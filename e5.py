def sub(p, pairs):
    s=open(p).read()
    for a,b in pairs:
        assert s.count(a)==1,(p,a,s.count(a))
        s=s.replace(a,b)
    open(p,'w').write(s)
sub('reconcile/verdict.go',[
('''	// Retry is the content''','''	// Renewed are the images, by service, that references of the content which runs
	// mean by now.
	Renewed map[string]Image
	// Retry is the content'''),
('''	case v.Current != nil && same(*v.Current, s.Declared):
		v.Name = names(s)
''','''	case v.Current != nil && same(*v.Current, s.Declared):
		if len(s.Renewed) > 0 && !s.Barred {
			return v.renew(s)
		}
		v.Name = names(s)
'''),
('''	// Name is true when a new version''','''	// Renews is true when the content is the current one and only images are new.
	Renews bool
	// Name is true when a new version'''),
('''		case Failed, Refused:
			return r
''','''		case Failed, Refused:
			if r.Trigger == TriggerImage {
				continue // the content was good; an image that came by itself was not
			}
			return r
'''),
])
sub('reconcile/stack.go',[('''	// fixes are the times''','''	// renewal is what image references mean by now.
	renewal renewal
	// fixes are the times''')])
sub('reconcile/pass.go',[
('''	l.declaredFor(&in)
''','''	l.declaredFor(&in)
	in.Renewed = s.renewed(in.Declared)
'''),
('''		s.backoff = backoff{}
		return s.next(plan)
''','''		s.backoff = backoff{}
		return sooner(s.next(plan), l.refresh(ctx, s, in, v, now))
'''),
('''// clears reports whether''','''// sooner is the earlier of two times, of which zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// clears reports whether'''),
])
sub('reconcile/attempt.go',[
('''		if v.Restore != nil {
			take(v.Restore, unchanged)
		}
''','''		if v.Restore != nil {
			take(v.Restore, unchanged)
		}
		maps.Copy(pins, a.in.Renewed)
'''),
('	"slices"\n	"time"\n','	"maps"\n	"slices"\n	"time"\n'),
])
s=open('reconcile/attempt.go').read()
s=s.replace('''	l.workers.Go(func() {
		defer cancel(nil)
		var err error
''','''	if v.Renews {
		a.trigger = TriggerImage
	}
	l.workers.Go(func() {
		defer cancel(nil)
		var err error
''',1)
s=s.replace('''	s.trigger, s.barred = TriggerPoll, false
''','''	s.trigger, s.barred, s.renewal.images = TriggerPoll, false, nil
''',1)
open('reconcile/attempt.go','w').write(s)
