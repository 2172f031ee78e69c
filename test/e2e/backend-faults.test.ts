/**
 * What a caller is told when a backend fails: what it was, in the words of RFC 9209, and nothing of where the backend is. The
 * log, and the admin API, say that.
 */
import { once } from 'node:events'
import { createServer as createHttps } from 'node:https'
import net, { type AddressInfo, type Server } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SELF_SIGNED } from '../support/certificate.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'

const servers: Server[] = []
async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  servers.push(server)
  return (server.address() as AddressInfo).port
}

const answering = (bytes: string) =>
  net.createServer((socket) => void socket.on('error', () => {}).once('data', () => socket.end(bytes)))

let gateway: RunningGateway
const ports: Record<string, number> = {}
beforeAll(async () => {
  ports['untrusted'] = await listening(createHttps(SELF_SIGNED, (_, response) => void response.end('{}')))
  ports['plain'] = await listening(answering('HTTP/1.1 200 OK\r\n\r\n'))
  ports['garbled'] = await listening(answering('SSH-2.0-x\r\n\r\n'))
  ports['reset'] = await listening(
    net.createServer((socket) => void socket.on('error', () => {}).once('data', () => socket.destroy())),
  )
  ports['mute'] = await listening(net.createServer((socket) => void socket.on('error', () => {})))
  const gone = net.createServer()
  ports['refused'] = await listening(gone)
  ports['left'] = ports['refused']
  ports['probed'] = ports['untrusted']
  gone.close()
  const secure = new Set(['untrusted', 'probed', 'plain'])
  const pools = Object.entries(ports).map(([name, port]) => [
    name,
    {
      backends: [{ url: `${secure.has(name) ? 'https' : 'http'}://127.0.0.1:${port}` }],
      health: name === 'probed' ? { interval: '50ms', unhealthyAfter: 1 } : { path: 'off' },
      outlier: { consecutive: 100 },
    },
  ])
  const routes = Object.keys(ports).map((name) => ({
    name,
    pool: name,
    match: { path: `/${name}` },
    protocol: 'opaque' as const,
    timeout: '700ms',
  }))
  const metadata = { backends: [{ url: 'http://169.254.169.254:80' }], health: { path: 'off' } }
  gateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      pools: { ...Object.fromEntries(pools), forbidden: metadata },
      routes: [
        ...routes,
        { name: 'forbidden', pool: 'forbidden', match: { path: '/forbidden' }, protocol: 'opaque' },
      ],
    } as never,
  })
})
afterAll(async () => {
  await gateway?.stop()
  for (const server of servers) server.close()
})

describe('a caller', () => {
  it.each([
    ['plain', 502, 'tls_protocol_error'],
    ['garbled', 502, 'http_protocol_error'],
    ['reset', 502, 'connection_terminated'],
    ['mute', 504, 'http_response_timeout'],
    ['refused', 502, 'connection_refused'],
    ['forbidden', 502, 'destination_ip_prohibited'],
    ['left', 503, 'destination_unavailable'],
    ['untrusted', 502, 'tls_certificate_error'],
  ])('is told of a backend that is %s, and not where it is', async (name, status, error) => {
    if (name === 'left') {
      const id = `127.0.0.1:${ports['left']}`
      const options = { method: 'PATCH', body: { state: 'draining' } }
      expect((await gateway.ask(`/api/v1/pools/left/backends/${id}`, options)).status).toBe(200)
    }
    const answer = await gateway.get(`/${name}`)
    expect(answer.status).toBe(status)
    expect(answer.headers['proxy-status']).toContain(`error=${error};`)
    const told = `${answer.text} ${JSON.stringify(answer.headers)}`
    for (const secret of [`:${ports[name] ?? 80}`, '169.254', `127.0.0.1:${ports[name]}`, 'http://'])
      expect(told).not.toContain(secret)
    if (name === 'left') return
    const line = await eventually(() => {
      const found = gateway.logs.find(({ event, pool }) => event === 'backend.failed' && pool === name)
      if (!found) throw new Error('nothing in the log')
      return found
    })
    // Whose time is up first, the call's or the connection's, is a matter of a tick.
    if (line['fault'] !== 'deadline')
      expect(line['reason']).toMatch(
        name === 'forbidden' ? /169\.254\.169\.254/ : new RegExp(`127.0.0.1:${ports[name]}`),
      )
  })
})

it('a certificate that is not accepted is the reason that the pool, the caller and the log are given', async () => {
  await eventually(async () => {
    const { text } = await gateway.ask('/api/v1/pools/probed')
    expect(text).toContain('its certificate is not accepted: self-signed certificate')
  })
  expect((await gateway.get('/untrusted')).text).toContain('DEPTH_ZERO_SELF_SIGNED_CERT')
  const line = gateway.logs.find(({ event, pool }) => event === 'backend.failed' && pool === 'untrusted')
  expect(line).toMatchObject({ level: 'warn', fault: 'backendUntrusted' })
  expect(line?.['reason']).toContain('self-signed certificate')
})
