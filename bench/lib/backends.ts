/** What the measured servers stand in front of: nginx that answers at once, or a model server with a time a row. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, LOAD_CORE, listening, type Pinned, start } from './process.ts'

export interface Backend {
  readonly port: number
  readonly process: Pinned
}

/** A stock answer of 300 bytes, as fast as anything can give it. */
export async function instant(folder: string): Promise<Backend> {
  const port = await freePort()
  const own = join(folder, 'backend')
  mkdirSync(own, { recursive: true })
  const answer = `{"predictions": [[${Array.from({ length: 31 }, (_, i) => (0.1 + i / 100).toFixed(5)).join(', ')}]]}`
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${own}/${kind};`)
    .join(' ')
  const file = join(own, 'nginx.conf')
  writeFileSync(
    file,
    `daemon off; worker_processes 1; pid ${own}/nginx.pid; error_log ${own}/error.log crit;
events { worker_connections 4096; multi_accept on; }
http { access_log off; keepalive_requests 100000000; client_body_buffer_size 512k; client_max_body_size 64m; ${temporary}
  server { listen 127.0.0.1:${port} backlog=1024; location / { default_type application/json; return 200 '${answer}'; } } }
`,
  )
  const process = start({ core: LOAD_CORE, command: '/usr/sbin/nginx', args: ['-c', file, '-p', own] })
  await listening(port)
  return { port, process }
}

/** One batch at a time, so many milliseconds a row. */
export async function slow(msPerRow: number): Promise<Backend> {
  const port = await freePort()
  const program = join(import.meta.dirname, 'slow-backend.ts')
  const backend = start({
    core: LOAD_CORE,
    command: process.execPath,
    args: [program, String(port), String(msPerRow)],
  })
  await listening(port)
  return { port, process: backend }
}
