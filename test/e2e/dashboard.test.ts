/** The dashboard in a browser, before a gateway whose parts fail while somebody looks. */
import { readFileSync, writeFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tokenHash } from '../../src/control/admin/auth.ts'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { BROWSER, openPage } from '../support/browser.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { INSPECTED, runInWorker } from '../support/inspector.ts'
import { startRedis, type TestServer } from '../support/servers.ts'
import { instances, MEMORY, PREDICT, redisTier, settings, TWO } from '../support/settings.ts'

const TOKEN = 'the-token'
const VIEWS = ['overview', 'pools', 'cache', 'models', 'tenants', 'scaling', 'faults', 'calls', 'explain']
const HOSTILE = '<img src=x onerror="window.hacked=1">'
const AUTHORIZED = { authorization: `Bearer ${TOKEN}` }

describe.skipIf(BROWSER === undefined)('the dashboard', () => {
  let redis: TestServer
  let backend: ScriptedBackend
  let gateway: RunningGateway
  let next = 0

  beforeAll(async () => {
    redis = await startRedis()
    backend = await startBackend()
    gateway = await startGateway({
      yaml: {
        ...settings({
          backends: [backend],
          tiers: [MEMORY, redisTier(redis)],
          server: TWO,
          pool: { scale: { min: 1, max: 3 } },
        }),
        log: { access: { sample: '100%' } },
        admin: {
          tokens: [
            { name: 'all', hash: tokenHash(TOKEN), scopes: ['admin'] },
            { name: 'reader', hash: tokenHash('reader'), scopes: ['read'] },
          ],
        },
      },
      env: INSPECTED,
    })
    await eventually(async () =>
      expect((await gateway.ask('/api/v1/pools/main', { headers: AUTHORIZED })).text).toContain(
        '"state":"ready"',
      ),
    )
  })
  afterAll(async () => {
    await gateway?.stop()
    await Promise.all([redis?.stop(), backend?.close()])
  })

  /** A page that follows the gateway. */
  async function connected(view = 'overview', options: Parameters<typeof openPage>[0] = {}) {
    const opened = await openPage(options)
    await opened.page.goto(`${gateway.admin}/#${view}`)
    await giveToken(opened.page, TOKEN)
    return opened
  }

  async function giveToken(page: Page, token: string): Promise<void> {
    await page.getByLabel('Token of the admin API').fill(token)
    await page.getByRole('button', { name: 'Connect' }).click()
    await page.locator('#link', { hasText: 'live' }).waitFor()
  }

  const call = () => gateway.post(PREDICT, instances(++next))

  it('asks for a token, says why one is refused, and keeps it in memory alone', async () => {
    const { page, complaints } = await openPage()
    const answer = await page.goto(gateway.admin)
    expect(answer?.headers()['content-security-policy']).toMatch(/^default-src 'none'; script-src 'self';/)
    await page.locator('#link', { hasText: 'token needed' }).waitFor()
    await page.getByLabel('Token of the admin API').fill('wrong')
    await page.getByRole('button', { name: 'Connect' }).click()
    await page.getByText('this token is not known').waitFor()
    await page.locator('#link', { hasText: 'token refused' }).waitFor()
    await giveToken(page, TOKEN)
    await page.locator('.tile', { hasText: 'Calls a second' }).waitFor()
    expect(page.url()).not.toContain(TOKEN)
    expect(await page.context().cookies()).toEqual([])
    expect(await page.evaluate('localStorage.length + sessionStorage.length')).toBe(0)
    // The browser itself says that a request was answered 401, once without a token and once with the wrong one.
    expect(complaints.filter((text) => !text.includes('401'))).toEqual([])
    await page.reload()
    await page.locator('#link', { hasText: 'token needed' }).waitFor()
    await page.close()
  })

  it('tells the truth while a worker dies, Redis freezes, a pool empties and settings are reloaded', async () => {
    const { page, complaints } = await connected()
    const lately = page.locator('.log').first()

    const crash = 'setImmediate(() => { throw new Error("crashed for the test") })'
    await runInWorker(gateway.stderr, 'worker 1', crash)
    await lately.getByText('worker.exit').waitFor()
    await page.locator('#about', { hasText: '2 of 2 workers' }).waitFor()

    redis.freeze()
    await eventually(async () => {
      await call()
      expect(await lately.innerText()).toMatch(/tier\.(open|disconnected)/)
    })
    await page.keyboard.press('3')
    await page
      .getByRole('row', { name: /^redis/ })
      .getByText('not asked', { exact: true })
      .waitFor()
    redis.thaw()

    await page.keyboard.press('1')
    const { port } = backend
    await backend.close()
    await page.getByText('0 of 1', { exact: true }).waitFor()
    backend = await startBackend(undefined, port)
    await page.getByText('1 of 1', { exact: true }).waitFor()

    writeFileSync(gateway.file, readFileSync(gateway.file, 'utf8').replace('200ms', '300ms'))
    await lately.getByText('config.reloaded').first().waitFor()
    expect(complaints).toEqual(
      expect.not.arrayContaining([expect.stringContaining('Content Security Policy')]),
    )
    await page.close()
  })

  it('shows what others name as text, wherever it stands', async () => {
    const { page, complaints } = await openPage()
    const backend = {
      id: HOSTILE,
      slot: 0,
      url: HOSTILE,
      models: [{ name: HOSTILE, version: HOSTILE }],
      weight: 1,
      zone: HOSTILE,
      state: 'unhealthy',
      reason: HOSTILE,
      source: 'registered',
      labels: { [HOSTILE]: HOSTILE },
      inflight: 0,
    }
    const rows = { hit: 0, join: 0, miss: 0, dup: 0 }
    const events: readonly (readonly [string, unknown])[] = [
      ['caller', { name: HOSTILE, scopes: ['admin'] }],
      [
        'gateway',
        { version: HOSTILE, since: '', workers: 1, listening: 1, ready: false, reasons: [HOSTILE] },
      ],
      ['pool', { pool: HOSTILE, backends: [backend] }],
      ['model', { model: HOSTILE, calls: { hit: 1 }, rows }],
      ['deployment', { pool: HOSTILE, model: HOSTILE, versions: [HOSTILE], token: HOSTILE, shared: true }],
      [
        'tenant',
        { tenant: HOSTILE, calls: {}, rows, tokens: {}, savedTokens: {}, refused: { [HOSTILE]: 1 } },
      ],
      ['fault', { route: HOSTILE, fault: HOSTILE, count: 1 }],
      [
        'cache',
        {
          tiers: [{ name: HOSTILE, state: HOSTILE, writes: 'open', trouble: HOSTILE }],
          flights: 0,
          unstorable: 0,
        },
      ],
      [
        'call',
        {
          requestId: HOSTILE,
          time: HOSTILE,
          method: HOSTILE,
          path: HOSTILE,
          route: HOSTILE,
          outcome: HOSTILE,
          stages: {},
          attempts: [],
          status: 500,
          ms: 1,
          rows: 1,
          bytes: {},
        },
      ],
      ['log', { level: 'warn', time: HOSTILE, event: 'backend.failed', backend: HOSTILE, reason: HOSTILE }],
      ['log', { level: 'error', time: HOSTILE, event: HOSTILE, reason: HOSTILE }],
    ]
    const body = events.map(([kind, data]) => `event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`).join('')
    await page.route('**/api/v1/calls?*', (route) => route.fulfill({ json: { calls: [] } }))
    await page.route('**/api/v1/events', (route) => route.fulfill({ contentType: 'text/event-stream', body }))
    await page.goto(gateway.admin)
    for (const view of VIEWS.slice(0, -1)) {
      await page.goto(`${gateway.admin}/#${view}`)
      if (view !== 'scaling') await page.locator('#view').getByText(HOSTILE).first().waitFor()
    }
    expect(await page.evaluate('document.querySelectorAll("#view img").length')).toBe(0)
    expect(await page.evaluate('window.hacked')).toBeUndefined()
    expect(complaints).toEqual([])
    await page.close()

    // A label is the one place where the gateway itself takes such text.
    const registered = await gateway.ask('/api/v1/pools/main/backends/labelled', {
      method: 'PUT',
      headers: { ...AUTHORIZED, 'content-type': 'application/json' },
      body: { url: 'http://127.0.0.1:9', labels: { note: HOSTILE } },
    })
    expect(registered.status).toBe(201)
    const { page: live } = await connected('pools')
    await live.getByText(`note=${HOSTILE}`).waitFor()
    await live.close()
  })

  it('is used by keyboard: views, help, sorting, draining', async () => {
    const { page } = await connected()
    await page.keyboard.press('2')
    await page.getByRole('heading', { name: 'Pools', level: 1 }).waitFor()
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor()
    await page.keyboard.press('Escape')
    await page.keyboard.press('/')
    expect(await page.evaluate('document.activeElement.getAttribute("aria-label")')).toBe('Filter backends')
    await page.keyboard.type(String(backend.port))
    const table = page.getByRole('table', { name: 'Backends of main' })
    await table.getByRole('button', { name: 'Latency' }).focus()
    await page.keyboard.press('Enter')
    await table.locator('th[aria-sort="descending"]', { hasText: 'Latency' }).waitFor()

    const row = table.getByRole('row').nth(1)
    await row.getByRole('button', { name: 'Drain' }).focus()
    await page.keyboard.press('Enter')
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('button', { name: 'Drain' }).focus()
    await page.keyboard.press('Enter')
    await row.getByText('draining', { exact: true }).waitFor()
    await row.getByRole('button', { name: 'Return' }).click()
    await row.getByRole('button', { name: 'Drain' }).waitFor()
    await page.close()
  })

  it('finds a call by the id that its answer had, and shows where its time went', async () => {
    const { headers } = await call()
    const { page } = await connected('calls')
    const id = String(headers['x-request-id'])
    await eventually(async () => {
      await page.getByLabel('Find one call by its id').fill(id)
      await page.getByRole('button', { name: 'Find', exact: true }).click()
      await page.getByRole('heading', { name: `${id}: 200` }).waitFor({ timeout: 1_000 })
    })
    await page.getByText(`POST ${PREDICT}`).first().waitFor()
    await page.locator('.panel > .stages .firstByte').waitFor()
    await page.close()
  })

  it('explains a call, and offers to none what its token may not', async () => {
    const { page } = await connected('explain')
    await page.getByLabel('Path with its query').fill(PREDICT)
    await page.getByLabel('Body').fill(JSON.stringify(instances(1)))
    await page.getByRole('button', { name: 'Explain' }).click()
    await page.getByRole('heading', { name: 'Cacheable' }).waitFor()
    await page.getByText('main, to pool main').first().waitFor()
    await page.close()

    const { page: reader } = await openPage()
    await reader.goto(`${gateway.admin}/#cache`)
    await giveToken(reader, 'reader')
    await reader.getByRole('row', { name: /^memory/ }).waitFor()
    expect(await reader.getByRole('button', { name: 'Purge' }).isDisabled()).toBe(true)
    await reader.keyboard.press('5')
    await reader.getByText('lacks the scope “tenants”').waitFor()
    await reader.close()
  })

  it('fits a phone, and is dark where the system is', async () => {
    const { page } = await connected('overview', { width: 390, dark: true })
    expect(await page.evaluate('document.documentElement.dataset.theme')).toBe('dark')
    for (const view of VIEWS) {
      await page.goto(`${gateway.admin}/#${view}`)
      await page.locator('nav a[aria-current]', { hasText: new RegExp(view, 'i') }).waitFor()
      expect(await page.evaluate('document.documentElement.scrollWidth'), view).toBeLessThanOrEqual(390)
    }
    await page.close()
  })

  it('says how old its data is once the gateway is gone, and goes on when that is back', async () => {
    const { page } = await connected()
    gateway.signal('SIGSTOP')
    await page.locator('#link', { hasText: /disconnected: data is \d+ s old/ }).waitFor()
    expect(await page.locator('body.stale').count()).toBe(1)
    gateway.signal('SIGCONT')
    await page.locator('#link', { hasText: 'live' }).waitFor()
    await page.close()
  })
})
