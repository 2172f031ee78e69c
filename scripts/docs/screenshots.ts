/**
 * Takes the pictures of the dashboard in docs/guide/images, with the browser that the tests use. They look best where the font
 * Inter is installed (Debian: fonts-inter). The two of the overview are the README's, one for each theme.
 *
 *   node scripts/docs/screenshots.ts [--seconds 90] [--out FOLDER] [--only overview,overview-dark] [--serve]
 *
 * `--serve` takes none: it prints the address of the gateway and leaves it running, to look at the dashboard by hand.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { chromium, type Page } from 'playwright-core'
import { type Demo, startDemo } from './demo.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '90' },
    out: { type: 'string', default: join(import.meta.dirname, '../../docs/guide/images') },
    only: { type: 'string' },
    serve: { type: 'boolean', default: false },
  },
})

interface Shot {
  readonly name: string
  readonly view: string
  readonly scheme: 'light' | 'dark'
  readonly width: number
  readonly height: number
}

const SHOTS: readonly Shot[] = [
  { name: 'overview', view: 'overview', scheme: 'light', width: 1400, height: 880 },
  { name: 'overview-dark', view: 'overview', scheme: 'dark', width: 1400, height: 880 },
  { name: 'pools', view: 'pools', scheme: 'light', width: 1400, height: 620 },
  { name: 'scaling-dark', view: 'scaling', scheme: 'dark', width: 1400, height: 700 },
  { name: 'calls', view: 'calls', scheme: 'light', width: 1400, height: 620 },
  { name: 'phone', view: 'overview', scheme: 'light', width: 390, height: 780 },
  ...(process.env['ALL_VIEWS']
    ? (['cache', 'models', 'tenants', 'faults', 'explain'] as const).map((view) => ({
        name: view,
        view,
        scheme: 'light' as const,
        width: 1400,
        height: 800,
      }))
    : []),
]

const demo = await startDemo()
try {
  if (values.serve) {
    console.log(`the dashboard is at ${demo.admin}/ until this is ended with Ctrl-C`)
    await new Promise((resolve) => process.once('SIGINT', resolve))
  } else await take(demo)
} finally {
  await demo.close()
}

/** All pages follow the gateway from the beginning, so that each has something to plot. */
async function take({ admin, servers }: Demo): Promise<void> {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium-headless-shell',
    args: ['--no-sandbox'],
  })
  try {
    const pages: { readonly shot: Shot; readonly page: Page }[] = []
    const only = values.only?.split(',')
    for (const shot of SHOTS.filter(({ name }) => only?.includes(name) ?? true)) {
      const { width, height, scheme, view } = shot
      const page = await browser.newPage({ viewport: { width, height }, colorScheme: scheme })
      page.on('console', (message) => console.log(message.text()))
      await page.goto(`${admin}/#${view}`)
      pages.push({ shot, page })
    }
    const seconds = Number(values.seconds)
    await after(seconds * 700)
    // Something happens in the end, so that one sees how that looks.
    const ill = servers.get('vision-3')
    if (ill) ill.isIll = true
    await after(seconds * 300)
    mkdirSync(values.out, { recursive: true })
    for (const { shot, page } of pages) {
      await page.screenshot({ path: join(values.out, `${shot.name}.png`), animations: 'disabled' })
      console.log(`${shot.name}.png`)
    }
  } finally {
    await browser.close()
  }
}
