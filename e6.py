def sub(p, pairs):
    s=open(p).read()
    for a,b in pairs:
        assert s.count(a)==1,(p,a,s.count(a))
        s=s.replace(a,b)
    open(p,'w').write(s)
sub('docs/json.md',[('`cli` `drift` `failure` |','`cli` `drift` `failure` `image` |'),
('`remove` `delay` `monitor` `prune`','`remove` `delay` `monitor` `prune` `build`')])
sub('docs/configuration.md',[('## As a service\n','''## Where images come from

An image reference is looked up once per release and pinned: the registry's digest, and the engine's own ID. What
it means later is nothing to that release. A service that a commit does not change keeps the image that it runs.

| `pull_policy` | for a release of new content |
|---|---|
| none | The registry decides. Where it cannot be asked, or does not have the image, the one that the engine has under that very name is taken; a registry that says nothing is waited for 5 s then, else 30 s. |
| `always` | The registry decides, and nobody else. |
| `missing`, `if_not_present` | An image of that name that the engine has is taken and no registry is asked. |
| `never` | Only what the engine has. Without it the stack waits, and says so. |
| `daily`, `weekly`, `every_<time>` | As without, and the reference is looked up again when that time has passed. `refresh` with `pull_refresh_after: <time>` is the same. |
| `build` | The image is built, even where one of that name is published. |

A reference with a digest that the engine has is never looked up. An image that the engine has for another platform than the
service's `platform` counts as missing. A reference that is looked up again and means another image begins a release
of the same content, `image changed behind tag`, with everything that a release has: a gate, and the way back when it fails. An image that failed is
not tried again before the reference means another one or an operator says `retry`. A registry that does not answer
changes nothing; it is asked again within 5 minutes.

### `build`

Building runs what the repository says, as root: it is off unless the host's [policy](policy.md) has `build: true`. A service
with `image` and `build` uses the published image, and builds where there is none. A service without `image`,
or with `pull_policy: build` or `never`, is always built here.

The image is built from the commit by the engine's own builder and named by all that it is made of: the files that `.dockerignore` (or
`Dockerfile.dockerignore`) leaves of the context, the Dockerfile, and what `build` says. What was built once is not
built again, not after a restart and not for a revert. A build that fails changes nothing that runs; the stack is stalled
with the failing command and its last line of output, `history` keeps more of it, and it is tried again every 10 minutes and
whenever the content changes.

`context` (in the repository only), `dockerfile`, `dockerfile_inline`, `args`, `target`, `labels`, `tags`, `cache_from`, `network`, `extra_hosts`,
`shm_size`, `ulimits`, `isolation`, `no_cache`, `pull` and one platform are obeyed. What needs BuildKit is refused by name: `additional_contexts`,
`ssh`, `secrets`, `entitlements`, `privileged`, `no_cache_filter`, several `platforms`, and in Dockerfiles
`RUN --mount` and the like. `cache_to`, `provenance` and `sbom` have no effect, which is noted. Arguments take their values from
`args` and the variables of the compose file, never from davit's environment.

## As a service
''')])
sub('CHANGELOG.md',[('''- An unready container that a release does not touch''','''- `build`: images are built from the commit where the host's policy allows it, and named by what they are made of,
  so that the same is built once.
- `pull_policy` in all its forms: with `daily`, `weekly` or `every_<time>` a tag that means another image is a release
  of its own. `platform` counts when images are chosen. A silent registry holds a release up for 5 s, not 30, where
  the engine has the image.
- An unready container that a release does not touch''')])
