/** The entry on a Node that is too old for the program. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url))

it('says in a sentence what it needs, with exit code 1', async () => {
  const old =
    "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.11.1' } })"
  const args = ['--import', `data:text/javascript,${encodeURIComponent(old)}`, MAIN, '--version']
  const error: unknown = await promisify(execFile)(process.execPath, args).catch((failed: unknown) => failed)
  expect(error).toMatchObject({ code: 1, stdout: '' })
  const { stderr } = error as { stderr: string }
  expect(stderr).toMatch(/^infergate: this is Node 20\.11\.1 \(.+\), and Node 24 or later is needed: .+\n$/)
})

it('has nothing in it that an old Node could not read', () => {
  const text = readFileSync(MAIN, 'utf8').replace(/\/\*[^]*?\*\/|\/\/.*$/gm, '')
  expect(text).not.toMatch(/^import\b/m)
  expect(text).not.toMatch(/\bawait\b|\busing\b|\?\?|\?\.|`|#private/)
})

it('needs what package.json says', () => {
  const { engines } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    engines: { node: string }
  }
  const [, needed] = /const needed = (\d+)/.exec(readFileSync(MAIN, 'utf8')) ?? []
  expect(engines.node).toBe(`>=${needed}`)
})
