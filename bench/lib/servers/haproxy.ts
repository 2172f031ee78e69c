/** HAProxy from Debian, as a plain proxy on one thread that reuses its connections. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Place } from '../place.ts'
import { type Pinned, start } from '../process.ts'

export const HAPROXY = '/usr/sbin/haproxy'

export function haproxy({ folder, port, backendPort, cores }: Place): Pinned {
  const file = join(folder, 'haproxy.cfg')
  const text = `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  http-reuse always
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  server s 127.0.0.1:${backendPort}
`
  writeFileSync(file, text)
  return start({ core: cores, command: HAPROXY, args: ['-db', '-f', file] })
}
