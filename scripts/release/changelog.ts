/** CHANGELOG.md: what is not released yet becomes a dated section. */

const UNRELEASED = '## Unreleased'
/** From the heading to the one of the last release, or to the end. */
const SECTION = /^## Unreleased\n([^]*?)(?=^## |(?![^]))/m

/** What nobody has released yet. Throws where the page has no such section. */
export function unreleased(changelog: string): string {
  const [, text] = SECTION.exec(changelog) ?? []
  if (text === undefined) throw new Error(`CHANGELOG.md has no "${UNRELEASED}"`)
  return text.trim()
}

/** `date`: as in 2026-12-01. The section for what comes next is left empty above it. */
export function released(changelog: string, version: string, date: string): string {
  if (unreleased(changelog) === '')
    throw new Error(`CHANGELOG.md has nothing below "${UNRELEASED}": there is nothing to release`)
  if (changelog.includes(`\n## ${version} `)) throw new Error(`CHANGELOG.md has a ${version} already`)
  return changelog.replace(`${UNRELEASED}\n`, `${UNRELEASED}\n\n## ${version} - ${date}\n`)
}
