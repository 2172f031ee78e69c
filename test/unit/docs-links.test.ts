/** The check of links finds what is dead, and takes what GitHub and the site take. */
import { describe, expect, test } from 'vitest'
import { brokenLinks, type Library, targetOf } from '../../scripts/site/links.ts'
import { readMarkdown } from '../../scripts/site/markdown.ts'
import { createSlugger } from '../../scripts/site/slug.ts'

function library(files: Readonly<Record<string, string>>): Library {
  const pages = Object.entries(files).filter(([name]) => name.endsWith('.md'))
  return {
    pages: new Map(pages.map(([name, text]) => [name, readMarkdown(text)])),
    files: new Set(Object.keys(files)),
    linesOf: (file) => (files[file] ?? '').split('\n').length,
  }
}

const OTHER =
  '# Other\n\n## One `code`, two\n\n## Again\n\n## Again\n\n<a name="by-hand"></a>\n\nSetext\n------\n'

/** What is said of `docs/page.md`, beside a page, a source file of three lines and a picture. */
const broken = (text: string): string[] =>
  brokenLinks(
    library({ 'docs/page.md': text, 'docs/a/other.md': OTHER, 'src/x.ts': '1\n2\n3', 'docs/i.png': '' }),
  )

describe('a dead link is found', () => {
  test.each([
    ['a page that is not there', 'See [it](a/none.md).', 'a/none.md is no file'],
    ['an anchor that is not there', 'See [it](a/other.md#gone).', 'a/other.md#gone has no such anchor'],
    ['an anchor that was renamed', '[it](a/other.md#one-code-three)', 'is it #one-code-two?'],
    ['an anchor of its own', '# Title\n\n[it](#titel)', '#titel has no such anchor'],
    ['a picture', '![it](none.png)', 'none.png is no file'],
    ['HTML', '<picture><source srcset="none.png"><img src="i.png"></picture>', 'none.png is no file'],
    ['a link around a picture', '[![x](i.png)](none.md)', 'none.md is no file'],
    ['a reference', '[it][there]\n\n[there]: a/none.md', 'a/none.md is no file'],
    ['a reference that is defined nowhere', 'See [it][there].', '[it][there] is defined nowhere'],
    ['a table', '| a |\n|---|\n| [it](none.md) |', 'none.md is no file'],
    ['a name that is no link', 'See `docs/none.md`.', 'docs/none.md is no file'],
    ['another case', '[it](A/other.md)', 'A/other.md is no file'],
    ['an anchor in a folder', '[it](a/#x)', 'names an anchor in a folder'],
    ['a line behind the last', '[it](../src/x.ts#L4)', 'names a line behind the last'],
    ['a path from the root', '[it](/docs/page.md)', 'begins at a root'],
    ['a path out of the repository', '[it](../../x.md)', 'leaves the repository'],
    ['a link that is cut off', '<a href="a/other%.md">it</a>', 'is not percent-encoded rightly'],
  ])('%s', (_, text, said) => {
    const found = broken(`Text before.\n\n${text}\n`)
    expect(found).toEqual([expect.stringContaining(said)])
    expect(found[0]).toMatch(/^docs\/page\.md:\d+: /)
  })

  test('with the line of its block', () => {
    expect(broken('one\n\ntwo\n\n[it](none.md)\n')).toEqual(['docs/page.md:5: none.md is no file'])
  })
})

test.each([
  '[a](a/other.md) [b](a/other.md#one-code-two) [c](a/other.md#again) [d](a/other.md#again-1)',
  '[a](a/other.md#by-hand) [b](a/other.md#setext)',
  '[a](a) [b](a/) [c](../src/x.ts) [d](../src/x.ts#L3) [e](../src/x.ts#L1-L3) [f](..)',
  '[a](https://other.example/none.md) <https://other.example> [b](mailto:a@b.example)',
  '`[a](none.md)`\n\n```md\n[a](none.md)\n```\n\n    [a](none.md)',
  '[a](a/other%2Emd) ![p](i.png)',
])('nothing is said of %s', (text) => {
  expect(broken(text)).toEqual([])
})

test('anchors are those of GitHub', () => {
  const slugger = createSlugger()
  const anchors = [
    'GET /api/v1/events',
    'What it costs?',
    'A  b — c',
    'Größe, µs',
    'a_b',
    'A_B',
    'a_b-1',
    'a_b',
  ].map(slugger)
  expect(anchors).toEqual([
    'get-apiv1events',
    'what-it-costs',
    'a--b--c',
    'größe-µs',
    'a_b',
    'a_b-1',
    'a_b-1-1',
    'a_b-2',
  ])
})

test('a link is resolved from the folder of its page', () => {
  expect(targetOf('docs/guide/a.md', '../b.md#c')).toEqual({ kind: 'inside', path: 'docs/b.md', anchor: 'c' })
  expect(targetOf('README.md', 'docs/')).toEqual({ kind: 'inside', path: 'docs', anchor: undefined })
})
