/**
 * One process follows another under a load of new connections, and none of them is refused or reset: a service manager holds the
 * listening sockets.
 */
import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { type ConnectionLoad, connectionLoad } from '../support/connection-load.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { MAIN } from '../support/program.ts'
import { settings } from '../support/settings.ts'

const CALLERS = 24
const CALLS = 500

/**
 * What systemd does with two `ListenStream=` and `ReusePort=yes`: opens the sockets, never accepts on them (its event loop does not
 * turn), hands them to the program as descriptors 3 and 4, and starts it again once it has ended.
 */
const MANAGER = `
const { spawnSync } = require('node:child_process')
const { createServer } = require('node:net')
const open = (port, done) => {
  const server = createServer()
  server.listen({ host: '127.0.0.1', port, reusePort: true }, () => done(server))
}
open(0, (one) => open(one.address().port, (two) => {
  const stdio = ['ignore', 'inherit', 'inherit', one._handle.fd, two._handle.fd]
  const script = 'echo "{\\\\"event\\\\":\\\\"pid\\\\",\\\\"pid\\\\":$$}"; LISTEN_FDS=2 LISTEN_PID=$$ exec "$@"'
  for (let run = 0; run < 2; run++) {
    const { status } = spawnSync('sh', ['-c', script, 'sh', ...process.argv.slice(1)], { stdio })
    if (status !== 0) process.exit(1)
  }
  process.exit(0)
}))
`

let backend: ScriptedBackend
beforeAll(async () => {
  backend = await startBackend()
  backend.script = (_, response) => void response.end('fine')
})
afterAll(() => backend?.close())

const count = (gateway: RunningGateway, event: string): number =>
  gateway.logs.filter((line) => line.event === event).length

async function answeredMore(load: ConnectionLoad): Promise<void> {
  const target = load.answered + CALLS
  await eventually(() => expect(load.answered).toBeGreaterThan(target), { timeoutMs: 40_000 })
}

it('refuses no connection while sockets that a service manager holds go from process to process', async () => {
  const gateway = await startGateway({
    launcher: [process.execPath, '-e', MANAGER],
    yaml: settings({ backends: [backend], server: { workers: 'auto', shutdownDelay: '0s' } }),
  })
  await gateway.ready('main')
  const load = connectionLoad(gateway.port, '/anything', CALLERS)
  await answeredMore(load)
  const pids = () => gateway.logs.filter(({ event }) => event === 'pid').map(({ pid }) => Number(pid))
  process.kill(pids()[0] as number, 'SIGTERM')
  await eventually(() => expect(count(gateway, 'worker.ready')).toBe(2), { timeoutMs: 40_000 })
  await answeredMore(load)
  await load.stop()
  expect([...load.failures]).toEqual([])
  process.kill(pids()[1] as number, 'SIGINT')
  expect(await gateway.exited).toBe(0)
})

it('a descriptor that is no listening socket is told of in a sentence', () => {
  const script = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
  const serve = [process.execPath, MAIN, 'serve', '--upstream', backend.url, '--admin', '127.0.0.1:0']
  const { status, stderr } = spawnSync('sh', ['-c', script, 'sh', ...serve], {
    // Each is /dev/null.
    stdio: ['ignore', 'ignore', 'pipe', 'ignore'],
    encoding: 'utf8',
    timeout: 30_000,
  })
  expect(stderr).toContain('descriptor 3, which LISTEN_FDS hands over, is no listening TCP socket')
  expect(stderr).not.toContain('    at ')
  expect(status).toBe(1)
})
