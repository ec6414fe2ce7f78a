// What the page needs in the Content-Security-Policy besides 'self'.

/**
 * Hash of the only inline style that is allowed: lightweight-charts uses it to place its attribution. A test compares it with
 * the style in the bundle.
 */
export const CHART_STYLE_HASH = "sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY=";
