//! The dev user pool and the demo CMS.
