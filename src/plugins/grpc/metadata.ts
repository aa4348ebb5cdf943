/**
 * Gives the certificate library the metadata functions that it refuses to load without. A file of
 * its own, so that the bundler, which starts scripts behind modules, keeps this before that.
 */
import 'reflect-metadata'
