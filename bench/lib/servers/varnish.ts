/** Varnish from Debian, with the module that hashes request bodies. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Place } from '../place.ts'
import { type Pinned, start } from '../process.ts'

export const VMODS = [
  '/usr/lib/varnish/vmods/libvmod_bodyaccess.so',
  '/usr/lib/x86_64-linux-gnu/varnish/vmods/libvmod_bodyaccess.so',
  '/usr/lib/aarch64-linux-gnu/varnish/vmods/libvmod_bodyaccess.so',
]

export function varnish({ folder, port, backendPort, cores, cacheMiB }: Place): Pinned {
  const file = join(folder, 'bench.vcl')
  writeFileSync(file, vcl(backendPort))
  const storage = `malloc,${cacheMiB}m`
  const args = ['-F', '-n', join(folder, 'n'), '-a', `127.0.0.1:${port}`, '-f', file, '-s', storage]
  for (const set of ['workspace_client=640k', 'workspace_backend=640k', 'thread_pools=1'])
    args.push('-p', set)
  return start({ core: cores, command: 'varnishd', args })
}

function vcl(backendPort: number): string {
  return `vcl 4.1;
import std;
import bodyaccess;
backend default { .host = "127.0.0.1"; .port = "${backendPort}"; }
sub vcl_recv {
  unset req.http.X-Body;
  if (req.method == "POST") { std.cache_req_body(500KB); set req.http.X-Body = "1"; return (hash); }
}
sub vcl_hash { bodyaccess.hash_req_body(); }
sub vcl_backend_fetch { if (bereq.http.X-Body) { set bereq.method = "POST"; } }
sub vcl_backend_response { set beresp.ttl = 1h; }
`
}
