import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { expect, it, onTestFinished } from 'vitest'
import { diagnosed } from '../../../../../src/data/cache/tiers/redis-refusal.ts'
import { FOR_CLIENTS, SELF_SIGNED } from '../../../../support/certificate.ts'

/** What is made of a handshake with a server that shows `shown`, by one who trusts `ca` and calls it `name`. */
async function refusalOf(shown: typeof SELF_SIGNED, ca?: string, name = 'localhost'): Promise<string> {
  const server = tls.createServer(shown)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
  const error = await new Promise<Error>((resolve) => {
    const socket = tls.connect({ ...address, servername: name, ...(ca ? { ca } : {}) })
    socket.once('error', resolve)
    socket.once('secureConnect', () => resolve(new Error('it was accepted')))
    onTestFinished(() => void socket.destroy())
  })
  const { name: kind, message } = await diagnosed(error, address, true)
  return `${kind}: ${message}`
}

it('every certificate that does not hold is a refusal that says what mends it', async () => {
  expect(await refusalOf(SELF_SIGNED)).toContain('(DEPTH_ZERO_SELF_SIGNED_CERT); name its authority')
  expect(await refusalOf(SELF_SIGNED, SELF_SIGNED.cert, 'other.test')).toContain(
    '(ERR_TLS_CERT_ALTNAME_INVALID); write a name that it is for in the URL',
  )
  expect(await refusalOf(FOR_CLIENTS, FOR_CLIENTS.cert)).toContain(
    'its certificate is rejected (INVALID_PURPOSE); give the server one that is fit for a server',
  )
})
