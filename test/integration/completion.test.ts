/** The scripts of `infergate completion`, run by the shells that are there. */
import { spawnSync } from 'node:child_process'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { run } from '../../src/cli/index.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

async function scriptOf(shell: string): Promise<string> {
  let script = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    script += String(chunk)
    return true
  })
  await run(['node', 'infergate', 'completion', shell])
  vi.restoreAllMocks()
  return script
}

const isThere = (shell: string): boolean => spawnSync(shell, ['-c', 'exit 0']).status === 0

/** What is offered behind these words, the last of which is being written. */
const LINES: readonly (readonly [line: string, offered: readonly string[]])[] = [
  ['infergate ba', ['backends']],
  ['infergate backends ', ['list', 'add', 'drain', 'remove', '--help', '-h']],
  ['infergate backends dr', ['drain']],
  ['infergate model-server --pooling ', ['mean', 'cls']],
  ['infergate model-server --poo', ['--pooling', '--pool']],
  ['infergate completion z', ['zsh']],
  ['infergate serve --admin 127.0.0.1:9090 --upstr', ['--upstream']],
]

function offeredByBash(script: string, line: string): string[] {
  const words = line.split(' ')
  const ask = `
    COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})
    COMP_CWORD=${words.length - 1}
    _infergate
    printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', script + ask], { encoding: 'utf8' })
  if (stderr !== '') throw new Error(stderr)
  return stdout.trim().split('\n').toSorted()
}

function offeredByFish(script: string, line: string): string[] {
  const { stdout } = spawnSync('fish', ['--no-config', '-c', `${script}\ncomplete -C '${line}'`], {
    encoding: 'utf8',
  })
  return stdout
    .trim()
    .split('\n')
    .map((offer) => offer.split('\t')[0] ?? '')
    .toSorted()
}

describe('in bash', () => {
  it('has what each command has', async () => {
    const script = await scriptOf('bash')
    for (const [line, offered] of LINES)
      expect({ line, offered: offeredByBash(script, line) }).toEqual({ line, offered: offered.toSorted() })
  })

  it('leaves values without choices to the names of files', async () => {
    expect(offeredByBash(await scriptOf('bash'), 'infergate serve --config ')).toEqual([''])
  })
})

describe('in fish', () => {
  it.skipIf(!isThere('fish'))('has what each command has', async () => {
    const script = await scriptOf('fish')
    for (const [line, offered] of LINES.filter(([line]) => !line.endsWith('backends ')))
      expect({ line, offered: offeredByFish(script, line) }).toEqual({ line, offered: offered.toSorted() })
  })
})

describe('in zsh', () => {
  it.skipIf(!isThere('zsh'))('is a script that it can read', async () => {
    const { status, stderr } = spawnSync('zsh', ['-f', '-n'], {
      input: await scriptOf('zsh'),
      encoding: 'utf8',
    })
    expect([status, stderr]).toEqual([0, ''])
  })
})
