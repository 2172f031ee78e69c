import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'

/** What `npm run check` says of a source tree of these files. */
function check(files: Record<string, string>) {
  const folder = mkdtempSync(join(tmpdir(), 'infergate-names-'))
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      writeFileSync(join(folder, path), text)
    }
    const { status, stderr } = spawnSync(process.execPath, ['scripts/names.mjs', folder], {
      encoding: 'utf8',
    })
    return { status, said: stderr.trim() }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

it('an exported name that a second file exports is told with both files', () => {
  const { status, said } = check({
    'b.ts': 'export type Asked = 1\n',
    'data/a.ts': '\nexport interface Asked {}\n',
  })
  expect(status).toBe(1)
  expect(said).toMatch(/^Asked is declared in .*b\.ts and .*data\/a\.ts$/)
})

it('a private type that takes the name of an exported one counts', () => {
  const { status, said } = check({
    'a.ts': 'export abstract class Line {}\n',
    'b.ts': 'interface Line<T> { t: T }\n',
  })
  expect(status).toBe(1)
  expect(said).toContain('Line is declared in ')
})

it('private types may share a name, and imports, functions and comments declare no type', () => {
  const files = {
    'a.ts': 'interface Options {}\nexport class Door {}\n',
    'b.ts': "type Options = 1\nimport type { Door } from './a.ts'\nexport type { Door }\n",
    'c.ts': '  // export class Door\nexport function Door() {}\n',
  }
  expect(check(files)).toEqual({ status: 0, said: '' })
})
