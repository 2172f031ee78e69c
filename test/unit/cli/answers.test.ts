/** Whoever listens at the address of the admin API, a command says so in one line. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { Command } from 'commander'
import { afterEach, expect, it, onTestFinished, vi } from 'vitest'
import { backendsCommand } from '../../../src/cli/backends.ts'
import { explainCommand } from '../../../src/cli/explain.ts'
import { purgeCommand } from '../../../src/cli/purge.ts'
import { scaleCommand } from '../../../src/cli/scale.ts'
import { tenantsCommand } from '../../../src/cli/tenants.ts'

afterEach(() => {
  process.exitCode = undefined
  vi.restoreAllMocks()
})

const COMMANDS = [
  ['backends', 'list'],
  ['backends', 'list', 'ranker'],
  ['backends', 'list', '--json'],
  ['backends', 'add', 'ranker', 'one', 'http://127.0.0.1:1', '--hold'],
  ['backends', 'drain', 'ranker', 'one'],
  ['backends', 'remove', 'ranker', 'one'],
  ['scale'],
  ['scale', 'ranker'],
  ['tenants'],
  ['tenants', 'mobile'],
  ['purge', '--all'],
  ['explain', 'GET', '/'],
]
const ANSWERS = [
  '{}',
  '{"pools":{}}',
  '{"pools":[{}]}',
  '{"pools":[{"pool":"ranker","backends":[null]}]}',
  '{"pool":1,"backends":[]}',
  '{"generation":"1"}',
]
const CASES = COMMANDS.flatMap((args) => ANSWERS.map((answer) => [args, answer] as const))

it.each(CASES)('%j is told of %s that it is no answer of the admin API', async (args, answer) => {
  const server = createServer((_, response) => response.end(answer))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  vi.spyOn(process, 'stdin', 'get').mockReturnValue(Readable.from([]) as typeof process.stdin)
  const out = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  const err = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  const program = new Command('infergate').enablePositionalOptions()
  for (const command of [
    backendsCommand(),
    scaleCommand(),
    tenantsCommand(),
    purgeCommand(),
    explainCommand(),
  ])
    program.addCommand(command)
  const admin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await program.parseAsync(['node', 'infergate', ...args, '--admin', admin])
  expect([out.mock.calls, err.mock.calls, process.exitCode]).toEqual([
    [],
    [[`infergate: ${admin} gave no answer of the admin API: is --admin the admin address?\n`]],
    1,
  ])
})
