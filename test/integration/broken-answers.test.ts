/** An answer whose body is broken from its beginning: as long as nothing has gone out, that is an error and no cut answer. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { exchange } from '../support/raw.ts'

let gateway: RunningGateway | undefined
let backend: Server | undefined

afterEach(async () => {
  await gateway?.stop()
  backend?.close()
})

const HEAD = 'HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n'

it.each([
  ['a chunk extension without end', `5;${'x'.repeat(200_000)}`],
  ['a chunk without a size', 'five\r\nhello\r\n'],
])('%s is 502, whether the route caches or not', async (_, body) => {
  backend = createServer((socket) => {
    socket.on('error', () => {}).once('data', () => socket.write(HEAD + body))
  })
  await once(backend.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`
  gateway = await startGateway({
    yaml: JSON.stringify({
      server: { listen: '127.0.0.1:0' },
      admin: { listen: '127.0.0.1:0' },
      pools: { main: { backends: [{ url }], health: { path: 'off' } } },
      routes: [
        { name: 'kept', match: { path: '/kept' }, protocol: 'opaque', cache: {} },
        { name: 'passed', protocol: 'opaque' },
      ],
    }),
  })
  for (const path of ['/kept', '/passed']) {
    const answer = await exchange(gateway.port, `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`)
    expect(answer).toMatchObject({ status: 502, head: expect.stringContaining('http_protocol_error') })
  }
})
