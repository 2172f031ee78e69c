/**
 * Names of claims in a token: `claim.sub`, `claim.realm.team`, and `claim["https://example.com/team"]` for names that have
 * other characters.
 */

export type ClaimPath = readonly string[]

const STEP = /\.([A-Za-z_][A-Za-z0-9_-]*)|\["((?:[^"\\]|\\["\\])+)"\]/y

/** Undefined: it is no such name. */
export function parseClaimPath(text: string): ClaimPath | undefined {
  if (!text.startsWith('claim')) return undefined
  const path: string[] = []
  STEP.lastIndex = 'claim'.length
  while (STEP.lastIndex < text.length) {
    const found = STEP.exec(text)
    if (!found) return undefined
    path.push(found[1] ?? (found[2] as string).replaceAll(/\\(["\\])/g, '$1'))
  }
  return path.length === 0 ? undefined : path
}

/** The text at the path; undefined where there is none, or something else. */
export function claimAt(claims: unknown, path: ClaimPath): string | undefined {
  const found = valueAt(claims, path)
  return typeof found === 'string' ? found : undefined
}

/** The words at the path: of a list of texts, or of a text with spaces between them, as OAuth's `scope`. */
export function claimWords(claims: unknown, path: ClaimPath): readonly string[] {
  const found = valueAt(claims, path)
  if (typeof found === 'string') return found.split(' ')
  return Array.isArray(found) ? found.filter((word) => typeof word === 'string') : []
}

function valueAt(claims: unknown, path: ClaimPath): unknown {
  let found = claims
  for (const name of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name)) return undefined
    found = (found as Record<string, unknown>)[name]
  }
  return found
}
