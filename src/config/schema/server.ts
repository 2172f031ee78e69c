/** The schema of the data port: its address, and the limits that keep one caller from harming the others. */
import * as z from 'zod'
import { address, cidr, count, duration, fixed, fixedPresence, share, size } from './fields.ts'
import { serverTls } from './tls.ts'

const limits = z.strictObject({
  maxBodyBytes: size().prefault('64MiB').describe('Longest request body; a longer one is answered 413.'),
  maxHeaderBytes: fixed(
    size({ min: '1KiB', max: '1MiB' })
      .prefault('16KiB')
      .describe('Longest request line and header fields together; longer ones are answered 431.'),
  ),
  requestTimeout: duration()
    .prefault('60s')
    .describe(
      'Longest time a call may take as a whole, or wait for the head of an answer that streams; a route may set its own `timeout`.',
    ),
  headerTimeout: fixed(
    duration()
      .prefault('10s')
      .describe('Longest time from the first byte of a request to the end of its header fields.'),
  ),
  bodyTimeout: fixed(
    duration()
      .prefault('30s')
      .describe('Longest time to receive a request body; of one that is streamed on, between two pieces.'),
  ),
  keepAliveTimeout: fixed(
    duration()
      .prefault('65s')
      .describe(
        'How long an idle connection stays open; longer than that of a balancer in front of the gateway.',
      ),
  ),
  maxConnections: fixed(
    count(1, 1_000_000)
      .prefault(10_000)
      .describe('Connections open at a time, of all workers together; further ones are closed at once.'),
  ),
})

export const server = z.strictObject({
  listen: fixed(address().prefault('0.0.0.0:8080').describe('Address and port of the data listener.')),
  tls: fixedPresence(
    serverTls
      .exactOptional()
      .describe(
        'Serves HTTPS. What is in the block can change live, and its files are read again within two seconds; without it the port is plain HTTP.',
      ),
  ),
  workers: fixed(
    z
      .union([count(1, 256), z.literal('auto')], { error: 'expected a whole number from 1 to 256, or auto' })
      .prefault('auto')
      .describe(
        'Event loops that take calls; they share the port, the memory tier and what is known of the backends. `auto` is one a core, at most 8. The first is the main thread.',
      ),
  ),
  reusePort: fixed(
    z
      .boolean()
      .prefault(false)
      .describe(
        'Lets another gateway of the same user listen on the port while this one does, as at an upgrade; without it that is a mistake, and refused.',
      ),
  ),
  fastDoor: fixed(
    z
      .boolean()
      .prefault(true)
      .describe(
        'Reads plain requests without node:http, which is several times faster; every other request goes to node:http, and with `false` all of them do.',
      ),
  ),
  limits: limits.prefault({}).describe('What one request, and all connections together, may take.'),
  shutdownDelay: duration({ min: '0s', max: '1h' })
    .prefault('1s')
    .describe(
      'How long it goes on taking calls after SIGTERM, with 503 on `/readyz` and `Connection: close` in its answers, so that balancers and clients hear of it before the port closes; longer than the balancer takes to see it. SIGINT and a second signal do not wait.',
    ),
  drainTimeout: duration()
    .prefault('30s')
    .describe('How long running calls may take to finish once the port is closed.'),
  trustedProxies: z
    .array(cidr())
    .prefault([])
    .describe('Peers whose `X-Forwarded-*` fields are believed and added to; those of others are replaced.'),
})

const accessLog = z.strictObject({
  sample: share()
    .prefault('1%')
    .describe('The share of the calls that is told whatever became of them, each with this probability.'),
  slow: duration().prefault('500ms').describe('Every call that takes as long is told.'),
  errors: z
    .boolean()
    .prefault(true)
    .describe('Every call that ends with a status from 500 on, or whose caller has left, is told.'),
})

export const log = z.strictObject({
  level: z
    .enum(['debug', 'info', 'warn', 'error'])
    .prefault('info')
    .describe('The least severe line that is written; `debug` writes one line a call.'),
  format: fixed(
    z
      .enum(['auto', 'json', 'text'])
      .prefault('auto')
      .describe(
        '`json`: a JSON object a line. `text`: for people, in colours unless `NO_COLOR` is set. `auto`: text where standard output is a terminal and `CI` is not set.',
      ),
  ),
  access: accessLog
    .exactOptional()
    .describe('Write what became of calls, a line a call; without this block nothing is written of them.'),
})
