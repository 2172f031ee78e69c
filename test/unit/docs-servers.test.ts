/** The pages of model servers install what `npm run interop` tries, and run files that are there. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const PAGES = globSync('docs/guide/servers/*.md', { cwd: ROOT }).filter((page) => !page.endsWith('README.md'))

test('there is one for each server that the suite starts, and the overview has them all', () => {
  expect(PAGES.length).toBeGreaterThan(8)
  const overview = read('docs/guide/servers/README.md')
  for (const page of PAGES) expect(overview).toContain(`](${page.split('/').at(-1)})`)
})

describe.each(PAGES)('%s', (page) => {
  const text = read(page)

  test('installs the versions that were tried', () => {
    const tried = read('interop/systems/environments.ts')
    const installed = [...text.matchAll(/[\w[\]-]+==[\w.]+/g)].map(([pin]) => pin)
    expect(installed.filter((pin) => !tried.includes(`'${pin}'`))).toEqual([])
    expect(installed).not.toEqual([])
  })

  test('starts files that are there', () => {
    const files = [...text.matchAll(/\b(?:interop|models)\/[\w/.-]+\.\w+/g)].map(([path]) => path)
    expect(files.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
  })

  test('shows a miss and the hit that follows', () => {
    expect(text).toMatch(/^Cache-Status: infergate; fwd=miss; .*stored\nCache-Status: infergate; hit; /m)
  })
})
