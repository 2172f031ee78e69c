/** A gateway whose certificate files change while it serves. */
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import tls from 'node:tls'
import { expect, test } from 'vitest'
import { createAuthority } from '../support/authority.ts'
import { eventually } from '../support/eventually.ts'
import { startGateway } from '../support/gateway.ts'

test('certificates are renewed without a lost connection, and a bad file is refused with its name', async () => {
  const authority = createAuthority()
  const [cert, key] = ['tls.crt', 'tls.key'].map((name) => join(authority.folder, name)) as [string, string]
  const install = (pair: { cert: string; key: string }) => {
    writeFileSync(cert, pair.cert)
    writeFileSync(key, pair.key)
  }
  install(authority.issue('/CN=first', 'DNS:localhost,IP:127.0.0.1', 5))
  const block = { certificates: [{ cert, key }] }
  const gateway = await startGateway({
    yaml: {
      server: { listen: '127.0.0.1:0', workers: 2, tls: block },
      admin: { listen: '127.0.0.1:0' },
      pools: { none: { health: { path: 'off' } } },
      routes: [{ match: { path: '/x' }, pool: 'none' }],
    },
  })
  const connect = async () => {
    const socket = tls.connect({
      port: gateway.port,
      host: '127.0.0.1',
      ca: authority.ca,
      servername: 'localhost',
    })
    await once(socket, 'secureConnect')
    return socket
  }
  const nameNow = async () => {
    const socket = await connect()
    const { CN } = socket.getPeerCertificate().subject
    socket.destroy()
    return CN
  }
  const ask = async (socket: tls.TLSSocket) => {
    socket.write('GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n')
    const [bytes] = (await once(socket, 'data')) as [Buffer]
    return bytes.toString().slice(0, 12)
  }
  const ready = async () => (await gateway.ask('/readyz')).text

  expect(await ready()).toMatch(/server\.tls: .*tls\.crt expires on \d{4}-\d\d-\d\d, in 4 days/)
  expect(await gateway.metric('infergate_tls_certificate_expiry_timestamp_seconds')).toBeGreaterThan(1e9)
  const open = await connect()
  expect(await ask(open)).toBe('HTTP/1.1 404')

  install(authority.issue('/CN=second', 'DNS:localhost,IP:127.0.0.1'))
  await eventually(async () => expect(await nameNow()).toBe('second'))
  expect(await ask(open)).toBe('HTTP/1.1 404')

  const good = readFileSync(key, 'utf8')
  writeFileSync(key, authority.issue('/CN=third', 'DNS:localhost').key)
  await eventually(async () => expect(await ready()).toMatch(/refused reload: .*tls\.key: is not the key of/))
  expect(await nameNow()).toBe('second')
  writeFileSync(key, good)
  await eventually(async () => expect(await ready()).not.toContain('refused'))
  open.destroy()
})

test('a start with files that do not fit ends with the file and the reason', async () => {
  const authority = createAuthority()
  const [cert, key] = ['tls.crt', 'tls.key'].map((name) => join(authority.folder, name)) as [string, string]
  writeFileSync(cert, authority.issue('/CN=a', 'DNS:a').cert)
  writeFileSync(key, 'nothing')
  const yaml = {
    server: { listen: '127.0.0.1:0', tls: { certificates: [{ cert, key }] } },
    admin: { listen: '127.0.0.1:0' },
    pools: { none: {} },
    routes: [{ pool: 'none' }],
  }
  await expect(startGateway({ yaml })).rejects.toThrow(/server\.tls: .*tls\.key: is no private key in PEM/)
})
