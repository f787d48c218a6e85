//! A world in one thread, in which the production machines are proved.
