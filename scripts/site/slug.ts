/**
 * The anchors of headings, as GitHub makes them (lower case; letters, marks, digits, connectors, hyphens; spaces become hyphens).
 * The site has the same ones, so a link that works on one works on the other.
 */

/** The anchor of one heading, from its text without markup. */
export function slugOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{Nd}\p{Pc}\- ]/gu, '')
    .replaceAll(' ', '-')
}

/** For the headings of one page in their order: what was there before gets `-1`, `-2`, and so on. */
export function createSlugger(): (heading: string) => string {
  const taken = new Map<string, number>()
  return (heading) => {
    const plain = slugOf(heading)
    let slug = plain
    for (let n = taken.get(plain) ?? 0; taken.has(slug); slug = `${plain}-${n}`) taken.set(plain, ++n)
    taken.set(slug, 0)
    return slug
  }
}
