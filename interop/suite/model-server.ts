/** A model server of one answer, for what is tried of the gateway and not of a server. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Session } from './session.ts'

/** Its URL; the session stops it. */
export async function startModelServer(session: Session): Promise<string> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ predictions: [1] }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  session.owns({
    async stop() {
      server.closeAllConnections()
      server.close()
    },
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
