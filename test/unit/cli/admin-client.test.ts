import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { AdminError, createAdminClient } from '../../../src/cli/admin-client.ts'
import { readPurge } from '../../../src/cli/answers.ts'

/** What is said where the admin API should be. */
async function sendTo(answer: (response: ServerResponse) => void): Promise<unknown> {
  const server = createServer((_, response) => answer(response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const admin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const client = await createAdminClient({ admin, timeoutMs: 1_000 })
  return client.send('POST', '/api/v1/cache/purge', readPurge, { all: true })
}

it.each(['<html>log in</html>', '', 'null', '[]', '"x"', '1', '{}', '{"unreachable":{}}'])(
  'a 200 of somebody else is no success: %j',
  async (body) => {
    await expect(sendTo((response) => response.end(body))).rejects.toThrow('is --admin the admin address?')
  },
)

it('an answer that breaks off is one line for the person', async () => {
  const sent = sendTo((response) => {
    response.writeHead(200, { 'content-length': 100 })
    response.write('{"a":', () => response.destroy())
  })
  await expect(sent).rejects.toThrow(AdminError)
  await expect(sent).rejects.toThrow('cannot reach')
})

it('an answer without end is given up', async () => {
  const sent = sendTo((response) => void response.write('{'))
  await expect(sent).rejects.toThrow('did not answer in time')
})

it('the whole object is the answer, what the command does not read as well', async () => {
  const answer = { unreachable: ['all'], shared: true }
  await expect(sendTo((response) => response.end(JSON.stringify(answer)))).resolves.toEqual(answer)
})
