/** The docs as a site: opened as files in a browser, with nothing from elsewhere. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkSite } from '../../scripts/site/check-site.ts'
import type { Library } from '../../scripts/site/links.ts'
import { ROOT, readRepository } from '../../scripts/site/repository.ts'
import { buildSite } from '../../scripts/site/site.ts'
import { BROWSER, openPage } from '../support/browser.ts'

const folder = mkdtempSync(join(tmpdir(), 'infergate-site-'))
const out = join(folder, 'site')
let library: Library

const at = (place: string) => pathToFileURL(join(out, place)).href

beforeAll(async () => {
  library = readRepository(ROOT)
  await buildSite(library, { root: ROOT, out, version: '1.2.3' })
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('every page is there, and every link in it leads somewhere', () => {
  expect(library.pages.size).toBeGreaterThan(80)
  expect(checkSite(out)).toEqual([])
})

test('a dead link, a dead anchor and a foreign host are found in what was written', () => {
  const bad = join(folder, 'bad')
  mkdirSync(bad)
  const links = '<a href="none.html">x</a><a href="#none">x</a><a href="https://a.example/">fine</a>'
  writeFileSync(join(bad, 'index.html'), `<p id="there">${links}<img alt="" src="https://a.example/i.png">`)
  expect(checkSite(bad)).toEqual([
    'index.html: none.html is not there',
    'index.html: #none has no such anchor',
    'index.html: img is loaded from https://a.example/i.png',
  ])
})

test('a folder of somebody else is left alone', async () => {
  const taken = join(folder, 'taken')
  mkdirSync(taken)
  writeFileSync(join(taken, 'letter.txt'), 'dear')
  await expect(buildSite(library, { root: ROOT, out: taken, version: '1.2.3' })).rejects.toThrow(/no site/)
})

describe.skipIf(BROWSER === undefined)('in a browser', () => {
  test('the search finds a setting, by keyboard, and leads to its section', async () => {
    const { page, complaints } = await openPage()
    const asked: string[] = []
    page.on('request', (request) => asked.push(request.url()))
    await page.goto(at('docs/guide/quickstart.html'))
    await page.keyboard.press('/')
    await page.keyboard.type('staleIfError')
    await page.locator('#results a').first().waitFor()
    await page.keyboard.press('Enter')
    await page.waitForURL((url) => !url.pathname.endsWith('quickstart.html'))
    await page.waitForFunction('document.querySelector("article").textContent.includes("staleIfError")')
    expect(asked.filter((url) => !url.startsWith('file:'))).toEqual([])
    expect(complaints).toEqual([])
  })

  test('what is found is shown as text', async () => {
    const { page } = await openPage()
    await page.goto(at('index.html'))
    await page.fill('#search', 'img onerror')
    await page.locator('#results li').first().waitFor()
    expect(await page.locator('#results img').count()).toBe(0)
    await page.fill('#search', 'qqzzxx')
    await page.getByText('Nothing found').waitFor()
  })

  test('the theme is the one of the system until one is chosen, which then holds', async () => {
    const { page, complaints } = await openPage({ dark: true })
    const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor')
    await page.goto(at('index.html'))
    const dark = await background()
    await page.click('#theme')
    expect(await page.textContent('#theme')).toBe('Theme: light')
    expect(await background()).not.toBe(dark)
    await page.reload()
    expect(await page.textContent('#theme')).toBe('Theme: light')
    expect(await background()).not.toBe(dark)
    expect(complaints).toEqual([])
  })

  test('a phone shows the text first, and nothing is wider than its screen', async () => {
    const { page } = await openPage({ width: 390 })
    for (const place of ['index.html', 'docs/reference/config.html', 'docs/reference/metrics.html']) {
      await page.goto(at(place))
      expect(await page.evaluate('document.documentElement.scrollWidth'), place).toBeLessThanOrEqual(390)
    }
    expect(await page.locator('details.menu').getAttribute('open')).toBeNull()
  })
})
