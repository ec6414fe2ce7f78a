// What the page needs from the Content-Security-Policy beyond 'self'; the server puts it into its header.

/**
 * The one inline style that is allowed: lightweight-charts places its attribution with it. A source for `style-src`, without
 * quotes; a test holds it against the style in the bundle.
 */
export const CHART_STYLE_HASH = "sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY=";
