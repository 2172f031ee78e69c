/** A command whose output cannot be written has failed, whatever it was about to say. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MAIN } from '../support/program.ts'

const EXAMPLE = fileURLToPath(new URL('../../config/examples/two-tier.yaml', import.meta.url))
/** Every write to it fails, as on a full disk. */
const FULL = '/dev/full'

/** An admin listener that knows nothing. */
const ANSWER = {
  pools: [],
  unreachable: [],
  ...{ route: 'all', pool: 'ranker', protocol: 'opaque', verb: 'request', cacheable: false },
}
const admin = createServer((_, response) => response.end(JSON.stringify(ANSWER)))
let at = ''
beforeAll(async () => {
  await once(admin.listen(0, '127.0.0.1'), 'listening')
  at = `http://127.0.0.1:${(admin.address() as AddressInfo).port}`
})
afterAll(() => void admin.close())

const COMMANDS = [
  ['check', EXAMPLE],
  ['backends', 'list', '--admin', 'AT'],
  ['scale', '--admin', 'AT'],
  ['purge', '--all', '--admin', 'AT'],
  ['explain', 'GET', '/', '--json', '--admin', 'AT'],
  ['--version'],
  ['check', '--help'],
]

describe.skipIf(!existsSync(FULL))('an output that cannot be written', () => {
  it.each(COMMANDS)('fails %s %s', async (...args: string[]) => {
    const out = openSync(FULL, 'w')
    const argv = [MAIN, ...args.map((arg) => (arg === 'AT' ? at : arg))]
    const process_ = spawn(process.execPath, argv, { stdio: ['ignore', out, 'pipe'] })
    let told = ''
    process_.stderr?.on('data', (text: Buffer) => (told += String(text)))
    const [code] = (await once(process_, 'close')) as [number]
    closeSync(out)
    expect(code).toBe(1)
    expect(told).toMatch(/^infergate: the output cannot be written: ENOSPC.*\n$/)
  })

  it('fails where nothing can be said of it, either', async () => {
    const out = openSync(FULL, 'w')
    const [code] = (await once(
      spawn(process.execPath, [MAIN, 'check', 'nowhere.yaml'], { stdio: ['ignore', out, out] }),
      'close',
    )) as [number]
    closeSync(out)
    expect(code).toBe(1)
  })
})

it('who has read enough is no fault', async () => {
  const command = `"$0" "$1" check "$2" | head -c 1`
  const args = ['-o', 'pipefail', '-c', command, process.execPath, MAIN, EXAMPLE]
  expect(await promisify(execFile)('bash', args)).toMatchObject({
    stdout: expect.stringMatching(/^.$/s),
    stderr: '',
  })
})

it('a body may come late on a pipe that does not block', async () => {
  const argv = [MAIN, 'explain', 'GET', '/', '--admin', at]
  // A pipe of Node's is a socket without blocking reads.
  const process_ = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'inherit'] })
  let told = ''
  process_.stdout.on('data', (text: Buffer) => (told += String(text)))
  await once(process_, 'spawn')
  process_.stdin.write('{')
  // The command has asked for the rest by the time that it would be loaded twice.
  await promisify(execFile)(process.execPath, [MAIN, '--version'])
  process_.stdin.end('}')
  expect(await once(process_, 'close')).toEqual([0, null])
  expect(told).toMatch(/^route +all, to pool ranker\n/)
})
