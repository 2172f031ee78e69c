/** The places besides package.json that name the version of infergate. */
import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { firstLine } from '../deploy/manifests.ts'
import { ROOT, renderings } from '../deploy/places.ts'

/** What stands before and behind the version, in a file that has it there at least once. */
type Place = readonly [file: string, before: string, behind: string]

const CHART = 'deploy/helm/infergate/Chart.yaml'

/** The chart comes first: the manifests begin with a digest of it. */
const PLACES: readonly Place[] = [
  [CHART, '\nversion: ', '\n'],
  [CHART, '\nappVersion: ', '\n'],
  ['Dockerfile', 'org.opencontainers.image.version="', '"'],
  ['integrations/spark/pyproject.toml', '\nversion = "', '"'],
  ['docs/guide/installing.md', 'infergate-', '.tgz'],
  ['docs/guide/kubernetes.md', 'infergate:', ''],
  ...renderings().flatMap(({ manifest }): Place[] => [
    [relative(ROOT, manifest), 'app.kubernetes.io/version: "', '"'],
    [relative(ROOT, manifest), 'image: "infergate:', '"'],
  ]),
]

/** The places in which another version stands, or none at all. */
export function disagreements(root: string, version: string): string[] {
  return PLACES.filter(([file, before, behind]) => {
    const text = readFileSync(join(root, file), 'utf8')
    return !text.includes(before + version + behind)
  }).map(([file, before]) => `${file}: no ${version} behind ${JSON.stringify(before)}`)
}

/** The files in which a version is replaced by the next, with their new texts. Throws where one does not name it. */
export function withVersion(root: string, from: string, to: string): Map<string, string> {
  const wrong = disagreements(root, from)
  if (wrong.length > 0) throw new Error(`these do not agree with package.json:\n${wrong.join('\n')}`)
  const texts = new Map<string, string>()
  for (const [file, before, behind] of PLACES) {
    const text = texts.get(file) ?? readFileSync(join(root, file), 'utf8')
    texts.set(file, text.replaceAll(before + from + behind, before + to + behind))
  }
  return texts
}

/** Manifests say what they were rendered from. A version is all that changed there, so they need not be rendered for it. */
export function manifestsAnew(write: (file: string, text: string) => void): void {
  for (const rendering of renderings()) {
    const text = readFileSync(rendering.manifest, 'utf8')
    write(relative(ROOT, rendering.manifest), firstLine(rendering) + text.slice(text.indexOf('\n')))
  }
}
