/** Debian's Chromium, for the tests of the dashboard. */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll } from 'vitest'

const NAMES = ['chromium-headless-shell', 'chromium', 'google-chrome']

/** Undefined: there is none, and the tests that need one are skipped. Throws in CI, where there must be one. */
export const BROWSER: string | undefined = find()

let running: Promise<Browser> | undefined

afterAll(async () => (await running)?.close())

export interface OpenPage {
  readonly page: Page
  /** What the page has complained of: errors, and what its policy forbids. */
  readonly complaints: readonly string[]
}

/** A page of its own, without cookies or storage of another. The browser is started with the first. */
export async function openPage(options: { width?: number; dark?: boolean } = {}): Promise<OpenPage> {
  const { width = 1280, dark = false } = options
  running ??= chromium.launch({ executablePath: BROWSER ?? '', args: ['--no-sandbox', '--disable-gpu'] })
  const page = await (await running).newPage({
    viewport: { width, height: 800 },
    colorScheme: dark ? 'dark' : 'light',
    reducedMotion: 'reduce',
  })
  page.setDefaultTimeout(20_000)
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  return { page, complaints }
}

function find(): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const found = NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find(isProgram)
  if (found !== undefined) return found
  const how = `no browser for the dashboard: install one of ${NAMES.join(', ')}`
  if (process.env['CI']) throw new Error(how)
  console.warn(`${how}; its tests are skipped`)
  return undefined
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
