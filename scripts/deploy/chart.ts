/** What can be said of the chart without a cluster: by Helm, and by kubeconform of what it renders. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { parse } from 'yaml'
import { type RunFailed, run } from '../../interop/suite/run.ts'
import type { Session } from '../../interop/suite/session.ts'
import { goProgramsOfModule } from '../../interop/systems/go.ts'
import type { Definition } from './definitions.ts'
import type { Helm, Values } from './helm.ts'
import { manifestText, readManifests } from './manifests.ts'
import { PATTERN, writeObjectSchemas } from './object-schemas.ts'
import { BOARD, type Rendering, RULES, renderings } from './places.ts'

const KUBECONFORM = { module: 'github.com/yannh/kubeconform', version: 'v0.8.0' }
const TIMEOUT_MS = 120_000

export async function tryChart(session: Session, helm: Helm, others: readonly Definition[]): Promise<void> {
  const all = renderings()
  for (const rendering of all) {
    await session.check('helm', `${rendering.name}: lint`, () =>
      helm.lint({ file: rendering.values }).then(() => undefined),
    )
    await session.check('helm', `${rendering.name}: its manifest is what the chart renders`, async () =>
      readFileSync(rendering.manifest, 'utf8') === (await rendered(helm, rendering))
        ? undefined
        : 'it is not: npm run check:deploy -- --write',
    )
  }
  for (const [name, set, reason] of REFUSED)
    await session.check('helm', `refuses ${name}`, () => refusal(helm, set, reason))
  await tryRestart(session, helm)
  await tryMonitoring(session, helm)
  await tryFields(session, all, others)
}

/** Writes the committed manifests. */
export async function writeManifests(helm: Helm): Promise<void> {
  for (const rendering of renderings()) {
    mkdirSync(dirname(rendering.manifest), { recursive: true })
    writeFileSync(rendering.manifest, await rendered(helm, rendering))
  }
}

const rendered = async (helm: Helm, rendering: Rendering): Promise<string> =>
  manifestText(rendering, await helm.template({ file: rendering.values }))

/** What is refused, the values, and what the message says. */
const REFUSED: readonly (readonly [name: string, set: NonNullable<Values['set']>, reason: RegExp])[] = [
  ['a setting that does not exist', { 'config.server.drainTimout': '30s' }, /'drainTimout' not allowed/],
  ['a value that does not exist', { replicaCount: 3 }, /'replicaCount' not allowed/],
  ['a time without a unit', { 'config.server.drainTimeout': '30' }, /config\/server\/drainTimeout/],
  [
    'a time that it cannot compute with',
    { 'config.server.drainTimeout': '${DRAIN}' },
    /config\.server\.drainTimeout is \$\{DRAIN\}: the chart computes with it/,
  ],
  [
    'an admin port that no probe reaches',
    { 'config.admin.listen': '127.0.0.1:9090' },
    /config\.admin\.listen is 127\.0\.0\.1:9090: others reach the pod only at/,
  ],
  [
    'probes that would need a client certificate',
    { 'adminTls.secret': 'tls', 'config.admin.tls': { clientCa: '/ca.crt' } },
    /set config\.admin\.tls\.clientAuth to optional/,
  ],
  [
    'an autoscaler of a pool that says no number',
    { backendAutoscalers: [{ pool: 'p', type: 'keda', target: { kind: 'Deployment', name: 'p' } }] },
    /names the pool p, which has no `scale`/,
  ],
  ['external metrics without TLS', { 'externalMetrics.enabled': true }, /needs adminTls\.secret/],
]

async function refusal(
  helm: Helm,
  set: NonNullable<Values['set']>,
  reason: RegExp,
): Promise<string | undefined> {
  const said = await helm.template({ set }).then(
    () => 'it was taken',
    (error: unknown) => String(error),
  )
  return reason.test(said) ? undefined : said
}

/** Pods are replaced for what the gateway reads at its start only. */
async function tryRestart(session: Session, helm: Helm): Promise<void> {
  const checksum = async (set: NonNullable<Values['set']>) =>
    /checksum\/restart: (\w+)/.exec(await helm.template({ set }))?.[1]
  const changes = async (set: NonNullable<Values['set']>) => (await checksum({})) !== (await checksum(set))
  await session.check('helm', 'a setting that is read again by itself replaces no pod', async () =>
    (await changes({ 'config.log.level': 'warn', 'config.cache.defaults.ttl': '1h' }))
      ? 'it does'
      : undefined,
  )
  for (const set of [{ 'config.server.workers': 3 }, { 'config.cache.tiers': [] }, { 'tls.secret': 'tls' }]) {
    await session.check('helm', `another ${Object.keys(set).join()} replaces the pods`, async () =>
      (await changes(set)) ? undefined : 'it does not',
    )
  }
}

/** Alerts and board are what is committed beside the chart. */
async function tryMonitoring(session: Session, helm: Helm): Promise<void> {
  const set = {
    'prometheusRule.enabled': true,
    'prometheusRule.labels': { release: 'p' },
    'dashboard.enabled': true,
  }
  const objects = readManifests(await helm.template({ set }))
  await session.check('helm', 'its PrometheusRule has the alerts', async () => {
    const rule = objects.find(({ kind }) => kind === 'PrometheusRule')
    return isDeepStrictEqual(rule?.['spec'], parse(readFileSync(RULES, 'utf8'))) ? undefined : 'it has others'
  })
  await session.check('helm', 'its ConfigMap has the board', async () => {
    const [board] = objects.filter(({ metadata }) => metadata.name.endsWith('-dashboard'))
    const data = board?.['data'] as Record<string, string> | undefined
    return data?.['infergate.json'] === readFileSync(BOARD, 'utf8').trimEnd()
      ? undefined
      : 'it has another one'
  })
}

async function tryFields(
  session: Session,
  all: readonly Rendering[],
  others: readonly Definition[],
): Promise<void> {
  const bin = await goProgramsOfModule({ ...KUBECONFORM, packages: ['cmd/kubeconform'] }, session.say)
  session.uses('kubeconform', KUBECONFORM.version.slice(1))
  const texts = all.map(({ manifest }) => readFileSync(manifest, 'utf8'))
  const kinds = texts.flatMap(readManifests).map((one) => `${one.apiVersion} ${one.kind}`)
  const folder = join(session.folder, 'schemas')
  await writeObjectSchemas(folder, new Set(kinds), others)
  const kubeconform = (input: string) =>
    run(join(bin, 'kubeconform'), ['-strict', '-schema-location', join(folder, PATTERN)], {
      input,
      timeoutMs: TIMEOUT_MS,
    })
  await session.check('kubeconform', 'every field of every manifest', async () => {
    for (const text of texts) await kubeconform(text)
    return undefined
  })
  await session.check('kubeconform', 'finds a field that does not exist', () =>
    kubeconform(texts.join('\n---\n').replaceAll('scheme: HTTP ', 'schema: HTTP ')).then(
      () => 'it does not',
      (error: RunFailed) => (error.stdout.includes("'schema' not allowed") ? undefined : error.stdout),
    ),
  )
}
