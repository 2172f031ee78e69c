/** Its path. Rejects with a message that says what to install. */
export function ensurePromtool(root: string): Promise<string>
