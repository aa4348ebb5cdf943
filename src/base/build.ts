/** What the build wrote into the executable: the version and the commit it was made from. */

// Replaced by `bun build --define`; absent when the sources are run as they are.
declare const POSTERN_VERSION: string | undefined
declare const POSTERN_COMMIT: string | undefined

/** The version of package.json, or "dev" for sources that were not built. */
export const version: string = typeof POSTERN_VERSION === 'string' ? POSTERN_VERSION : 'dev'

/** The commit, with "-dirty" where the tree had changes; "dev" for sources that were not built. */
export const commit: string = typeof POSTERN_COMMIT === 'string' ? POSTERN_COMMIT : 'dev'
