def sub(p, pairs):
    s=open(p).read()
    for a,b in pairs:
        assert s.count(a)==1,(p,a,s.count(a))
        s=s.replace(a,b)
    open(p,'w').write(s)
sub('engine/image.go',[
('''func (e *Engine) KeepTags(ctx context.Context) (map[string]string, error) {
''','''func (e *Engine) KeepTags(ctx context.Context) (map[string]string, error) {
	return e.tagsBelow(ctx, KeepPrefix)
}

// BuildTags returns the tags that begin with compose.BuildTagPrefix and the image
// ID of each.
func (e *Engine) BuildTags(ctx context.Context) (map[string]string, error) {
	return e.tagsBelow(ctx, compose.BuildTagPrefix)
}

func (e *Engine) tagsBelow(ctx context.Context, prefix string) (map[string]string, error) {
'''),
('patterns.Add("reference", KeepPrefix+','patterns.Add("reference", prefix+'),
('	keep := map[string]string{}\n	err := e.do(ctx, "list keep tags",','	found := map[string]string{}\n	err := e.do(ctx, "list tags below "+prefix,'),
('				if strings.HasPrefix(tag, KeepPrefix) {\n					keep[tag] = i.ID','				if strings.HasPrefix(tag, prefix) {\n					found[tag] = i.ID'),
('	return keep, err\n','	return found, err\n'),
('	"davit/reconcile"\n','	"davit/compose"\n	"davit/reconcile"\n'),
])
sub('engine/enginetest/image.go',[
('''func (e *Engine) KeepTags(ctx context.Context) (map[string]string, error) {
	keep := map[string]string{}
	err := e.read(ctx, "list keep tags", func(time.Time) error {
		for ref, id := range e.images.tags {
			if strings.HasPrefix(ref, engine.KeepPrefix) {
				keep[ref] = id
			}
		}
		return nil
	})
	return keep, err
}
''','''func (e *Engine) KeepTags(ctx context.Context) (map[string]string, error) {
	return e.tagsBelow(ctx, engine.KeepPrefix)
}

// BuildTags returns the tags of what was built and the image ID of each.
func (e *Engine) BuildTags(ctx context.Context) (map[string]string, error) {
	return e.tagsBelow(ctx, compose.BuildTagPrefix)
}

func (e *Engine) tagsBelow(ctx context.Context, prefix string) (map[string]string, error) {
	found := map[string]string{}
	err := e.read(ctx, "list tags below "+prefix, func(time.Time) error {
		for ref, id := range e.images.tags {
			if strings.HasPrefix(ref, prefix) {
				found[ref] = id
			}
		}
		return nil
	})
	return found, err
}
'''),
('	"davit/engine"\n','	"davit/compose"\n	"davit/engine"\n'),
])
sub('reconcile/loop.go',[('''	KeepTags(ctx context.Context) (map[string]string, error)
''','''	KeepTags(ctx context.Context) (map[string]string, error)
	// BuildTags returns every tag below compose.BuildTagPrefix and the ID it means.
	BuildTags(ctx context.Context) (map[string]string, error)
''')])
sub('reconcile/keep.go',[('''	return errors.Join(problems...)
}

// holdAll makes''','''	return errors.Join(append(problems, l.forgetBuilds(ctx, stack, wanted))...)
}

// forgetBuilds lets go of images that were built for a stack and that no kept
// release has.
func (l *Loop) forgetBuilds(ctx context.Context, stack string, wanted map[string]Image) error {
	ids := map[string]bool{}
	for _, image := range wanted {
		ids[image.ID] = true
	}
	tags, err := l.Keeper.BuildTags(ctx)
	problems := []error{err}
	for _, tag := range sortedKeys(tags) {
		if !ids[tags[tag]] && strings.HasPrefix(tag, compose.BuildTagPrefix+component(stack)+"/") {
			problems = append(problems, l.Keeper.Untag(ctx, tag))
		}
	}
	return errors.Join(problems...)
}

// holdAll makes''')
])
s=open('reconcile/keep.go').read()
s=s.replace('	"time"\n)','	"time"\n\n	"davit/compose"\n)',1)
# one definition of what fits between two slashes
a=s.index('// pathComponent is what'); b=s.index('// wanted are the keep tags')
s=s[:a]+'''// component is name as a part of an image reference.
func component(name string) string { return compose.ImagePath(name) }

'''+s[b:]
s=s.replace('	"crypto/sha256"\n','').replace('	"encoding/hex"\n','').replace('	"regexp"\n','')
open('reconcile/keep.go','w').write(s)
s=open('compose/imagebuild.go').read()
a=s.index('// pathElement is name'); b=s.index('// buildPaths reports')
s=s[:a]+'''// ImagePath is name as a part of an image reference. Compose allows names that
// Docker does not allow there, such as "Web" and "web_"; they stay apart by a
// checksum.
func ImagePath(name string) string {
	if imagePath.MatchString(name) && len(name) <= 64 {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "x-" + hex.EncodeToString(sum[:8])
}

'''+s[b:]
s=s.replace('pathElement(','ImagePath(')
open('compose/imagebuild.go','w').write(s)
